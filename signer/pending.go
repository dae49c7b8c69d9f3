package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// sweepEvery is how often requests are looked at that wait for approvals: some
// expire, and some are only held up, by a rate that is used up.
const sweepEvery = 5 * time.Second

// watchPending lets callers wait for the requests that were pending before the last
// stop.
func (s *Signer) watchPending(ctx context.Context) error {
	return s.each(ctx, Pending, func(r *Request) { s.watch.openPending(r.ID) })
}

// sweep expires and claims pending requests until life ends.
func (s *Signer) sweep(life context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Reconsider(life); err != nil && life.Err() == nil {
				s.log.Error("pending requests cannot be looked at", zap.Error(err))
			}
		case <-life.Done():
			return
		}
	}
}

// Reconsider looks at every pending request: it ends those that have expired, and
// authorizes those that nothing holds up any more. The daemon does so by itself,
// every few seconds. Each has a transaction of its own, and only if there is
// something to do: none can hold up the others.
func (s *Signer) Reconsider(ctx context.Context) error {
	var errs []error
	err := s.each(ctx, Pending, func(r *Request) {
		if s.now().Before(r.ExpiresAt) && lacking(s.Missing(r)) > 0 {
			return
		}
		_, err := s.answerPending(ctx, r.ID, func(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
			was := r.LeafIndex
			if err := s.claim(tx, p, r, now); err != nil || r.LeafIndex != was {
				return err
			}
			return errUnchanged
		})
		var e *Error
		if err != nil && !(errors.As(err, &e) && e.Kind == KindConflict) { // it moved on meanwhile
			errs = append(errs, fmt.Errorf("request %s: %w", r.ID, err))
		}
	})
	return errors.Join(append(errs, storeError(err))...)
}

// expire ends a request whose approvals did not come in time.
func (s *Signer) expire(tx Tx, r *Request, now time.Time) error {
	r.State = Expired
	r.Reason = fmt.Sprintf("the approvals did not come by %s", r.ExpiresAt.UTC().Format(time.RFC3339))
	return s.enter(tx, r, audit.LeafExpired, now)
}

// rejudgeAll has another policy judge the pending requests, in the transaction
// that puts it in force.
func (s *Signer) rejudgeAll(tx Tx, p *policy.Policy) (moved []*Request, err error) {
	pending, err := tx.Pending()
	if err != nil {
		return nil, err
	}
	now := s.now()
	for _, r := range pending {
		if r.Decision.PolicyHash == p.Hash() && r.Statement == statement(r) {
			continue
		}
		if err := s.rejudgeOne(tx, p, r, now); err != nil {
			return nil, fmt.Errorf("request %s: %w", r.ID, err)
		}
		moved = append(moved, r)
	}
	return moved, nil
}

func (s *Signer) rejudgeOne(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
	if !now.Before(r.ExpiresAt) {
		return s.expire(tx, r, now)
	}
	head, err := tx.Head(r.Submission.AppID, r.Submission.Channel)
	if err != nil {
		return err
	}
	return s.rejudge(tx, p, r, p.Decide(r.question(now, head.Last)), now, "another policy is in force")
}

// rejudge puts another decision in the place of the one that a pending request has.
// Approvals were given for the old one and do not count any more.
func (s *Signer) rejudge(tx Tx, p *policy.Policy, r *Request, d policy.Decision, now time.Time, why string) error {
	if d.Effect == policy.Deny {
		r.State, r.Decision, r.Reason = Denied, d, why+": "+d.Reason
		return s.enter(tx, r, audit.LeafDenied, now)
	}
	note := why + ", and the request was judged again"
	if n := len(r.Approvals); n > 0 {
		note += fmt.Sprintf("; the %d approvals given before do not count any more", n)
	}
	r.Decision, r.Approvals, r.Note = d, nil, note
	if by := r.SubmittedAt.Add(d.Expires); d.Effect == policy.Approve && by.Before(r.ExpiresAt) {
		r.ExpiresAt = by
	}
	r.Statement = statement(r)
	err := s.enter(tx, r, audit.LeafPending, now)
	if errors.Is(err, audit.ErrLeafTooLarge) {
		r.State, r.Reason = Denied, "judged again, it does not fit into the log"
		return s.enter(tx, r, audit.LeafDenied, now)
	}
	if err != nil {
		return err
	}
	if d.Effect == policy.Allow {
		return s.claim(tx, p, r, now)
	}
	return nil
}
