package signer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

const (
	// maxFreezes is how many freezes of apps and keys may be in force that were
	// not made by an operator.
	maxFreezes = 100
	// maxWhy is the longest reason that a person gives, in bytes.
	maxWhy = 500
)

// Freeze stops signing. An operator may always, others if the policy lets them.
// What is authorized and not yet signed does not leave any more, unless it is an
// emergency. The fields of f that say who and when are set here.
func (s *Signer) Freeze(ctx context.Context, f Freeze, who policy.Identity, operator bool) (*Freeze, error) {
	if err := s.checkFreeze(&f); err != nil {
		return nil, err
	}
	if !operator && !s.policy.Load().MayFreeze(who) {
		return nil, &Error{Kind: KindForbidden, Detail: fmt.Sprintf("the policy does not let %s freeze: it may be done by root, and by those in freezes.users and freezes.groups", who)}
	}
	f.ID, f.By, f.At, f.Lifted, f.Approvals = newID(), who, s.now(), false, nil
	f.Statement = thawStatement(&f)
	err := s.update(ctx, func(tx Tx) error {
		others, err := tx.Freezes()
		if err != nil {
			return err
		}
		for i := range others {
			if o := &others[i]; o.All == f.All && o.AppID == f.AppID && o.Key == f.Key {
				f = *o
				return errUnchanged
			}
		}
		if len(others) >= maxFreezes && !operator && !f.All {
			return &Error{Kind: KindTooMany, Detail: fmt.Sprintf("%d freezes are in force already; freeze everything, or lift some", maxFreezes)}
		}
		if err := s.appendFreeze(tx, &f, audit.LeafFreeze, nil, who, f.At); err != nil {
			return err
		}
		return tx.PutFreeze(&f)
	})
	if errors.Is(err, errUnchanged) {
		return &f, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	s.log.Warn("signing is frozen", zap.String("freeze", f.ID), zap.Bool("all", f.All), zap.String("app", f.AppID),
		zap.String("key", f.Key), zap.Stringer("by", who), zap.String("reason", f.Reason))
	return &f, nil
}

func (s *Signer) checkFreeze(f *Freeze) error {
	n := 0
	for _, set := range []bool{f.All, f.AppID != "", f.Key != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		return invalid("/all", "found %d of all, app_id and key, want exactly one", n)
	}
	if f.AppID != "" {
		if err := policy.CheckAppID(f.AppID); err != nil {
			return invalid("/app_id", "%v", err)
		}
	}
	if f.Key != "" {
		k, err := s.known(f.Key)
		if err != nil {
			return err
		}
		f.KeyFingerprint = k.Pin.Fingerprint()
	}
	if err := checkReason(f.Reason); err != nil {
		return invalid("/reason", "%v", err)
	}
	return nil
}

// checkReason accepts one line of text that a person wrote.
func checkReason(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("found nothing, want a reason: others will read it")
	case len(text) > maxWhy:
		return fmt.Errorf("found %d bytes, want at most %d", len(text), maxWhy)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }):
		return errors.New("found a character that cannot be printed, want one line of text")
	}
	return nil
}

// Thaw adds an approval, an armored SSHSIG over the freeze's statement in
// [policy.ThawNamespace], and lifts the freeze with the last that was missing. If
// the policy wants none, sshsig is "" and an operator lifts it.
func (s *Signer) Thaw(ctx context.Context, id, sshsig string, who policy.Identity, operator bool) (*Freeze, error) {
	s.deciding.RLock()
	defer s.deciding.RUnlock()
	var out *Freeze
	err := s.update(ctx, func(tx Tx) error {
		f, err := tx.Freeze(id)
		if errors.Is(err, ErrNotFound) {
			return &Error{Kind: KindNotFound, Detail: fmt.Sprintf("there is no freeze %q", id), Err: err}
		}
		if err != nil {
			return err
		}
		out = f
		if f.Lifted {
			return &Error{Kind: KindConflict, Detail: fmt.Sprintf("freeze %s is lifted already", id)}
		}
		return s.thaw(tx, f, sshsig, who, operator, s.now())
	})
	if err != nil {
		return nil, storeError(err)
	}
	if out.Lifted {
		s.log.Warn("a freeze is lifted", zap.String("freeze", id), zap.String("by", thawedBy(out, who)))
	}
	return out, nil
}

func (s *Signer) thaw(tx Tx, f *Freeze, sshsig string, who policy.Identity, operator bool, now time.Time) error {
	p := s.policy.Load()
	reqs := p.LiftRequirements()
	if len(reqs) == 0 {
		if !operator || sshsig != "" {
			return &Error{Kind: KindForbidden, Detail: "the policy names nobody in freezes.lift, so only root lifts a freeze, without a signature"}
		}
		f.Lifted = true
		return s.keepThaw(tx, f, nil, who, now)
	}
	if sshsig == "" && operator && lacking(s.missingThaw(p, f, now)) == 0 {
		// A reload has made enough of the signatures that there are.
		f.Approvals, f.Lifted = s.validThaws(p, f, now), true
		return s.keepThaw(tx, f, nil, who, now)
	}
	if sshsig == "" {
		return refusal("lifting freeze %s needs signatures; what is missing: %s", f.ID, wanted(s.missingThaw(p, f, now)))
	}
	if len(sshsig) > maxSSHSIG {
		return invalid("/sshsig", "found %d bytes, want at most %d", len(sshsig), maxSSHSIG)
	}
	a, err := p.People().Verify(policy.ThawNamespace, []byte(f.Statement), sshsig, now)
	if err != nil {
		return refusal("%v", err)
	}
	before := s.missingThaw(p, f, now)
	f.Approvals = withApproval(s.validThaws(p, f, now), *a)
	after := s.missingThaw(p, f, now)
	// A reload may have made enough of what there was before.
	if lacking(before) > 0 && lacking(after) >= lacking(before) {
		return refusal("the signature of %s would not count; what is missing: %s", a.Person, wanted(before))
	}
	f.Lifted = len(after) == 0
	return s.keepThaw(tx, f, a, who, now)
}

// keepThaw writes a step towards the end of a freeze.
func (s *Signer) keepThaw(tx Tx, f *Freeze, a *policy.Approval, who policy.Identity, now time.Time) error {
	if err := s.appendFreeze(tx, f, audit.LeafThaw, a, who, now); err != nil {
		return err
	}
	return tx.PutFreeze(f)
}

func (s *Signer) appendFreeze(tx Tx, f *Freeze, typ audit.LeafType, a *policy.Approval, who policy.Identity, now time.Time) error {
	who.Groups = who.Groups[:min(len(who.Groups), maxLeafGroups)]
	leaf := &audit.Leaf{
		Type: typ, Time: now, Freeze: f.ID, AppID: f.AppID, Key: f.Key, KeyFingerprint: f.KeyFingerprint, Reason: f.Reason,
		Requester: &who, Approval: a, Lifted: f.Lifted,
	}
	if typ == audit.LeafFreeze {
		leaf.Statement = f.Statement
	}
	_, err := tx.Append(leaf)
	return err
}

// Freezes returns the freezes in force, oldest first.
func (s *Signer) Freezes(ctx context.Context) ([]Freeze, error) {
	out, err := s.store.Freezes(ctx)
	return out, storeError(err)
}

// MissingThaw returns what a freeze lacks to be lifted; none: an operator lifts it.
func (s *Signer) MissingThaw(f *Freeze) []policy.Missing {
	if f.Lifted {
		return nil
	}
	return s.missingThaw(s.policy.Load(), f, s.now())
}

func (s *Signer) missingThaw(p *policy.Policy, f *Freeze, now time.Time) []policy.Missing {
	return p.People().Missing(p.LiftRequirements(), s.validThaws(p, f, now), nil)
}

// validThaws are the signatures that count still, with the keys that people have
// now.
func (s *Signer) validThaws(p *policy.Policy, f *Freeze, now time.Time) []policy.Approval {
	return slices.DeleteFunc(slices.Clone(f.Approvals), func(a policy.Approval) bool {
		again, err := p.People().Verify(policy.ThawNamespace, []byte(f.Statement), a.SSHSIG, now)
		return err != nil || again.Person != a.Person
	})
}

func thawedBy(f *Freeze, who policy.Identity) string {
	if len(f.Approvals) == 0 {
		return who.String()
	}
	return persons(f.Approvals)
}

// frozen returns the freeze that stops a request, or nil.
func frozen(freezes []Freeze, r *Request) *Freeze {
	if r.Submission.BreakGlass != "" && r.Decision.BreakGlass {
		return nil
	}
	for i := range freezes {
		if freezes[i].Stops(r) {
			return &freezes[i]
		}
	}
	return nil
}
