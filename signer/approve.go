package signer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// maxSSHSIG bounds a signature in bytes; one by an RSA key of 16,384 bits has
// less than 10,000.
const maxSSHSIG = 32 << 10

// Approve adds a person's approval, an armored SSHSIG over the request's
// statement, to a pending request. The last that was missing authorizes it, in the
// same transaction. The same approval again changes nothing.
func (s *Signer) Approve(ctx context.Context, id, sshsig string) (*Request, error) {
	return s.answerPending(ctx, id, func(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
		a, err := spoken(p, policy.ApprovalNamespace, r, sshsig, now)
		if err != nil {
			return err
		}
		own := p.People().Of(r.Requester)
		if slices.Contains(own, a.Person) {
			return refusal("%s made this request: somebody else must approve it", a.Person)
		}
		reqs := r.Decision.Requirements
		if !p.People().Entitled(reqs, a.Person) {
			return refusal("%s is in none of the groups that may approve this request: %s", a.Person, wanted(p.People().Missing(reqs, nil, own)))
		}
		if i := slices.IndexFunc(r.Approvals, func(b policy.Approval) bool { return b.Person == a.Person }); i >= 0 && (r.Approvals[i].UserVerified || !a.UserVerified) {
			return errUnchanged
		}
		// Whoever is entitled is taken, also if it helps only together with what
		// others will say; but an entry of the log must have room for all.
		approvals := withApproval(r.Approvals, *a)
		people := p.People()
		if len(approvals) > policy.MaxQuorum && lacking(people.Missing(reqs, approvals, own)) >= lacking(people.Missing(reqs, r.Approvals, own)) {
			return refusal("the approval of %s would not count; what is missing: %s", a.Person, wanted(people.Missing(reqs, r.Approvals, own)))
		}
		r.Approvals = approvals
		if err := s.enter(tx, r, audit.LeafApproved, now); err != nil {
			return err
		}
		return s.claim(tx, p, r, now)
	})
}

// Reject ends a pending request for good, by the signature in
// [policy.RejectionNamespace] of anybody whose approval would count.
func (s *Signer) Reject(ctx context.Context, id, sshsig, reason string) (*Request, error) {
	if err := checkReason(reason); err != nil {
		return nil, invalid("/reason", "%v", err)
	}
	return s.answerPending(ctx, id, func(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
		a, err := spoken(p, policy.RejectionNamespace, r, sshsig, now)
		if err != nil {
			return err
		}
		if !p.People().Entitled(r.Decision.Requirements, a.Person) {
			return refusal("%s is in none of the groups that may approve this request, and so may not reject it", a.Person)
		}
		r.State, r.Rejection = Rejected, a
		r.Reason = fmt.Sprintf("rejected by %s: %s", a.Person, reason)
		return s.enter(tx, r, audit.LeafRejected, now)
	})
}

// Missing returns what a pending request lacks.
func (s *Signer) Missing(r *Request) []policy.Missing {
	if r.State != Pending {
		return nil
	}
	people := s.policy.Load().People()
	return people.Missing(r.Decision.Requirements, r.Approvals, people.Of(r.Requester))
}

// errUnchanged is an answer that was given before.
var errUnchanged = errors.New("nothing changes")

// answerPending has fn work on a pending request in one transaction, and does what
// follows from the state that fn leaves it in.
func (s *Signer) answerPending(ctx context.Context, id string, fn func(tx Tx, p *policy.Policy, r *Request, now time.Time) error) (*Request, error) {
	if !s.running.Load() {
		return nil, notRunning()
	}
	s.deciding.RLock()
	defer s.deciding.RUnlock()
	var out *Request
	unchanged := false
	err := s.update(ctx, func(tx Tx) error {
		r, err := tx.Request(id)
		if errors.Is(err, ErrNotFound) {
			return noRequest(id)
		}
		if err != nil {
			return err
		}
		out = r
		now := s.now()
		switch {
		case r.State != Pending:
			return &Error{Kind: KindConflict, Request: r, Detail: fmt.Sprintf("request %s is %s: only a pending request can be approved or rejected", id, r.State)}
		case !now.Before(r.ExpiresAt):
			return s.expire(tx, r, now)
		}
		p := s.policy.Load()
		if r.Decision.PolicyHash != p.Hash() || r.Statement != statement(r) {
			return &Error{Kind: KindConflict, Request: r, Detail: fmt.Sprintf("request %s was not judged by the policy that is in force; it must be submitted again", id)}
		}
		err = fn(tx, p, r, now)
		if unchanged = errors.Is(err, errUnchanged); unchanged {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, storeError(err)
	}
	if unchanged {
		return out, nil
	}
	s.moved(out)
	if out.State == Expired {
		return nil, &Error{Kind: KindConflict, Request: out, Detail: fmt.Sprintf("request %s is expired: %s", id, out.Reason)}
	}
	return out, nil
}

// spoken verifies what a person signed about a request.
func spoken(p *policy.Policy, namespace string, r *Request, sshsig string, now time.Time) (*policy.Approval, error) {
	if len(sshsig) > maxSSHSIG {
		return nil, invalid("/sshsig", "found %d bytes, want at most %d", len(sshsig), maxSSHSIG)
	}
	a, err := p.People().Verify(namespace, []byte(r.Statement), sshsig, now)
	if err != nil {
		return nil, refusal("%v", err)
	}
	return a, nil
}

func refusal(format string, args ...any) *Error {
	return &Error{Kind: KindApproval, Detail: fmt.Sprintf(format, args...)}
}

// withApproval adds an approval. A newer one of the same person takes the place of
// the older.
func withApproval(approvals []policy.Approval, a policy.Approval) []policy.Approval {
	out := slices.DeleteFunc(slices.Clone(approvals), func(b policy.Approval) bool { return b.Person == a.Person })
	return append(out, a)
}

func lacking(missing []policy.Missing) (n int) {
	for _, m := range missing {
		n += m.Count
	}
	return n
}

// wanted says what is missing, for people.
func wanted(missing []policy.Missing) string {
	if len(missing) == 0 {
		return "nothing"
	}
	var out string
	for i, m := range missing {
		if i > 0 {
			out += ", and "
		}
		out += fmt.Sprintf("%d of %s", m.Count, joined(m.From))
		if m.UserVerification {
			out += " with a key that verifies its user"
		}
	}
	return out
}

// enter writes a pending request's move, or a step of it, and its log entry.
func (s *Signer) enter(tx Tx, r *Request, typ audit.LeafType, now time.Time) error {
	r.UpdatedAt = now
	leaf, err := requestLeaf(r, typ, now)
	if err != nil {
		return err
	}
	if r.LeafIndex, err = tx.Append(leaf); err != nil {
		return err
	}
	return tx.Move(r, Pending)
}

// now is the time as records hold it.
func (s *Signer) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// moved does what follows from a request's move that is durable.
func (s *Signer) moved(r *Request) {
	s.log.Info("request", zap.String("id", r.ID), zap.String("state", string(r.State)), zap.Int("approvals", len(r.Approvals)),
		zap.String("reason", r.Reason), zap.String("note", r.Note))
	switch {
	case r.State == Pending:
		return // as before
	case r.State == Authorized:
		s.launch(r)
	default:
		s.watch.land(r)
	}
	s.observe(r)
}
