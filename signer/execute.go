package signer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// errWrongSignature is a result that does not verify.
var errWrongSignature = errors.New("wrong signature")

// Why work on a request ends before it is done; the causes of its context's end.
var (
	errStopping  = errors.New("the daemon is stopping")
	errCancelled = errors.New("cancelled by the requester")
	errStalled   = errors.New("no progress")
)

// errLate is what becomes of a key that did its part after the work was given up.
var errLate = errors.New("it answered too late")

// execute signs an authorized request and makes the result durable. It tries
// until it succeeds, the request fails for good or is cancelled, one of its keys made
// no progress for SigningTimeout (in which it was its turn), or the daemon stops; in
// the last case the request stays authorized.
func (s *Signer) execute(r *Request, places places) {
	defer s.signing.Done()
	defer places.leave()
	ctx, end := context.WithCancelCause(s.life)
	defer end(nil)
	s.shout(r)
	tasks, err := newTasks(&r.Submission, places)
	if err != nil {
		s.finish(r, places, Failed, err.Error())
		return
	}
	// The freeze is looked for again in the transaction that lets the result go;
	// this spares the keys.
	if freezes, err := s.store.Freezes(ctx); err == nil {
		if f := frozen(freezes, r); f != nil {
			s.finish(r, places, Failed, frozenReason(f))
			return
		}
	}
	if !s.watch.take(r.ID, tasks, func() { end(errCancelled) }) {
		return // cancelled before it began
	}
	done := s.do(ctx, end, r.ID, tasks)
	cause := context.Cause(ctx)
	var failed *failure
	errors.As(cause, &failed)
	switch wrong := tasks.wrong(); {
	case done:
		signed := *r
		signed.Result = tasks.result()
		s.finish(&signed, places, Signed, "")
	case len(wrong) > 0:
		var reasons []string
		for _, t := range wrong {
			reasons = append(reasons, fmt.Sprintf("key %q is quarantined: %s", t.key.Name, t.wrongFor(r.ID)))
		}
		s.finish(r, places, Failed, strings.Join(reasons, "; "))
	case errors.Is(cause, errCancelled):
		s.log.Info("signing was broken off", zap.String("id", r.ID), zap.Error(cause))
	case s.life.Err() != nil, errors.Is(cause, errStopping), failed == nil:
		s.log.Warn("request is left for the next start", zap.String("id", r.ID))
	case errors.Is(cause, errStalled):
		why := failed.task.err
		if why == nil {
			why = errLate
		}
		s.finish(r, places, Failed, fmt.Sprintf("key %q could not be used for %s: %v", failed.task.key.Name, s.config.SigningTimeout, why))
	default:
		s.finish(r, places, Failed, failed.Error())
	}
}

// sign uses the key, again while it cannot be used, and verifies what it made.
// Nothing but a quarantine and an operator's word is final: a PIN can be
// corrected, a token come back. The error is that of the newest attempt.
func (s *Signer) sign(ctx context.Context, id string, key *managedKey, w *work) error {
	last := errors.New("it was busy all the time")
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		changed := key.change()
		replica, err := key.choose(ctx)
		if err == nil {
			err = w.run(ctx, replica)
			if err == nil {
				return nil
			}
		}
		if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			last = err
		}
		if blocked := key.blocked(); blocked != nil && !errors.Is(err, errWrongSignature) {
			return blocked
		}
		if errors.Is(err, errWrongSignature) || ctx.Err() != nil {
			return last
		}
		s.log.Warn("signing is tried again", zap.String("id", id), zap.String("key", key.Name), zap.Error(err))
		pause := wait/2 + rand.N(wait)
		switch ready := key.ready(); {
		case ready != nil && ready != replica:
			pause = 0 // another replica takes over
		case ready == nil && key.pause() > 0:
			pause = key.pause()
		}
		select {
		case <-time.After(pause):
		case <-changed:
		case <-ctx.Done():
			return last
		case <-s.stopping:
			return errStopping
		}
	}
}

// errBlocked is a result of a key that was taken out of use meanwhile.
var errBlocked = errors.New("its key was taken out of use before the result was recorded")

// finish moves an authorized request to a final state, together with its log
// entry, and lands it: the result leaves only after that is durable. While the
// state cannot be written the result is kept and tried again; if the daemon stops
// first, the request stays authorized. A request that was cancelled meanwhile
// stays cancelled.
func (s *Signer) finish(r *Request, places places, to State, reason string) {
	done := *r
	done.State, done.Reason = to, shorten(reason, maxReason)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(context.Background(), func(tx Tx) error {
			if done.State == Signed && places.blocked() != nil {
				return errBlocked
			}
			if done.State == Signed {
				if err := holdFrozen(tx, &done); err != nil {
					return err
				}
			}
			return s.move(tx, &done)
		})
		switch {
		case err == nil:
			s.log.Info("request", zap.String("id", done.ID), zap.String("state", string(done.State)), zap.String("key", done.keyNames()),
				zap.Int64("log_index", done.LeafIndex), zap.String("reason", done.Reason))
			s.observe(&done)
			s.watch.land(&done)
			return
		case errors.Is(err, errFrozen):
			done.State, done.Result = Failed, nil
			done.Reason = shorten(err.Error(), maxReason)
			continue
		case errors.Is(err, ErrMoved):
			s.log.Info("a result came too late and is dropped", zap.String("id", r.ID), zap.Error(err))
			return
		case errors.Is(err, ErrStoreBroken):
			s.log.Error("a result is held back until a restart can tell how its request stands", zap.String("id", r.ID), zap.Error(err))
			return
		case errors.Is(err, ErrStoreFull), errors.Is(err, ErrClockBack), errors.Is(err, ErrLogKey):
			s.log.Error("a result is held back: it cannot be recorded", zap.String("id", r.ID), zap.Error(err))
		case done.State == Signed:
			// It will never be recorded as it is: say so instead of trying for ever.
			done.State, done.Result = Failed, nil
			done.Reason = shorten("its result cannot be recorded: "+err.Error(), maxShortReason)
			continue
		default:
			s.log.Error("a failure cannot be recorded", zap.String("id", r.ID), zap.Error(err))
			done.Reason = shorten(done.Reason, maxShortReason)
		}
		select {
		case <-time.After(wait):
		case <-s.stopping:
			return
		}
	}
}

// errFrozen is a result that a freeze came before.
var errFrozen = errors.New("frozen")

// holdFrozen fails if a freeze stops the request.
func holdFrozen(tx Tx, r *Request) error {
	freezes, err := tx.Freezes()
	if err != nil {
		return err
	}
	if f := frozen(freezes, r); f != nil {
		return fmt.Errorf("%w: %s", errFrozen, frozenReason(f))
	}
	return nil
}

func frozenReason(f *Freeze) string {
	return fmt.Sprintf("signing was frozen before it was signed (%s): %s", f.ID, f.Reason)
}

// move writes the new state of an authorized request and its log entry.
func (s *Signer) move(tx Tx, r *Request) error {
	leafType := audit.LeafSigned
	if r.State == Failed {
		leafType = audit.LeafFailed
	}
	r.UpdatedAt = s.clock.Now().UTC().Truncate(time.Microsecond)
	leaf, err := requestLeaf(r, leafType, r.UpdatedAt)
	if err != nil {
		return err
	}
	if r.LeafIndex, err = tx.Append(leaf); err != nil {
		return err
	}
	if r.State == Signed {
		if err := signed(tx, r, r.UpdatedAt); err != nil {
			return err
		}
	}
	return tx.Move(r, Authorized)
}

// condemn takes a key that made a wrong signature out of use for good. The faulty
// signature is not kept anywhere: it could reveal the private key.
//
// It is the private key that is taken out of use: under each name that it has.
func (s *Signer) condemn(key *managedKey, reason string) {
	reason = shorten(reason, maxReason)
	var condemned []*managedKey
	for _, k := range s.keys.sorted() {
		// Whoever was first says so.
		if k.Pin.Equal(key.Pin) && k.quarantine(reason) {
			condemned = append(condemned, k)
			s.log.Error("ALARM: a key is quarantined: it made a wrong signature, which can reveal a private key; find out why before it is used again",
				zap.String("key", k.Name), zap.String("reason", reason))
		}
	}
	if len(condemned) == 0 {
		return
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(context.Background(), func(tx Tx) error {
			for _, k := range condemned {
				if err := tx.Quarantine(k.Name, reason); err != nil {
					return err
				}
				_, err := tx.Append(&audit.Leaf{
					Type: audit.LeafQuarantined, Time: s.clock.Now(),
					Key: k.Name, KeyFingerprint: k.Pin.Fingerprint(), Reason: reason,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			return
		}
		s.log.Error("ALARM: a quarantine cannot be recorded, and would not survive a restart", zap.String("key", key.Name), zap.Error(err))
		select {
		case <-time.After(wait):
		case <-s.stopping:
			return
		}
	}
}

// maxReason is how much of a reason, in bytes, is kept: a backend's message can
// be of any length, a log entry can not.
const maxReason = 1024

// maxShortReason is for a reason that itself did not fit.
const maxShortReason = 100

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
