package signer

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// claim authorizes a pending request if nothing is missing. Everything is judged
// again in the transaction that spends the approvals: each signature with the keys
// that people have now, the policy, freezes and limits. What the policy
// denies by now is denied; what is only held up stays pending, and is claimed
// again when that may have changed.
func (s *Signer) claim(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
	enough := func() bool {
		return lacking(p.People().Missing(r.Decision.Requirements, r.Approvals, p.People().Of(r.Requester))) == 0
	}
	if !enough() {
		return nil
	}
	if err := s.revive(tx, p, r, now); err != nil || !enough() {
		return err
	}
	keys, gone := s.keepers(r)
	if gone != nil {
		r.State, r.Reason = Denied, r.lost(gone)
		return s.enter(tx, r, audit.LeafDenied, now)
	}
	for _, key := range keys {
		if err := key.blocked(); err != nil {
			return s.note(tx, r, now, "all have agreed, and it waits for its key: "+err.Error())
		}
		if !key.room() {
			return s.note(tx, r, now, "all have agreed, and it waits for its turn: its key is busy")
		}
	}
	v, err := judge(tx, p, r, now)
	switch {
	case err != nil:
		return err
	case v.ForNow != "":
		return s.note(tx, r, now, "all have agreed, and it waits: "+v.ForNow)
	case v.Effect == policy.Deny:
		r.State, r.Decision, r.Reason = Denied, v.Decision, v.Reason
		return s.enter(tx, r, audit.LeafDenied, now)
	case v.Rule != r.Decision.Rule || v.PolicyHash != r.Decision.PolicyHash:
		// Time or history made another rule decide: what was agreed to is not what
		// would be signed.
		return s.rejudge(tx, p, r, v.Decision, now, fmt.Sprintf("rule %q decides by now", v.Rule))
	}
	r.State, r.Note = Authorized, ""
	if len(r.Approvals) > 0 {
		r.Decision.Reason = fmt.Sprintf("rule %q: approved by %s", r.Decision.Rule, persons(r.Approvals))
	}
	if err := count(tx, p, r, now); err != nil {
		return err
	}
	return s.enter(tx, r, audit.LeafAuthorized, now)
}

// revive verifies the approvals of a request again, and drops those that do not
// count any more: a person was removed, or a key has expired.
func (s *Signer) revive(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
	var valid []policy.Approval
	var dropped string
	for _, a := range r.Approvals {
		again, err := p.People().Verify(policy.ApprovalNamespace, []byte(r.Statement), a.SSHSIG, now)
		if err != nil || again.Person != a.Person {
			dropped = fmt.Sprintf("the approval of %s does not count any more: %v", a.Person, err)
			continue
		}
		again.Time = a.Time
		valid = append(valid, *again)
	}
	r.Approvals = valid
	if dropped == "" {
		return nil
	}
	return s.note(tx, r, now, dropped)
}

// note tells people what a pending request waits for.
func (s *Signer) note(tx Tx, r *Request, now time.Time, text string) error {
	text = shorten(text, maxReason)
	if r.Note == text {
		return nil
	}
	r.Note, r.UpdatedAt = text, now
	return tx.Move(r, Pending)
}

// launch has an authorized request signed.
func (s *Signer) launch(r *Request) {
	s.watch.authorized(r.ID)
	if s.begin() != nil {
		return // the next start signs it
	}
	keys, _ := s.keepers(r)
	go s.resumeOne(r.ID, rejoin(keys, r))
}

// shout calls out an emergency that is about to be signed.
func (s *Signer) shout(r *Request) {
	if r.Submission.BreakGlass == "" {
		return
	}
	s.log.Error("ALARM: break-glass: an emergency passes freezes and limits",
		zap.String("id", r.ID), zap.String("app", r.Submission.AppID), zap.Stringer("requester", r.Requester),
		zap.String("approved_by", persons(r.Approvals)), zap.String("reason", r.Submission.BreakGlass))
}

func persons(approvals []policy.Approval) string {
	var names []string
	for _, a := range approvals {
		names = append(names, a.Person)
	}
	return joined(names)
}

func joined(names []string) string { return strings.Join(names, ", ") }
