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
	"github.com/bundlesign/bundlesign/capgo"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// chunk is how many payloads a key is given at once: enough to use it well,
	// few enough for its own deadline.
	chunk = 64
)

// errWrongSignature is a result that does not verify.
var errWrongSignature = errors.New("wrong signature")

// errStopping is work that was left because the daemon stops.
var errStopping = errors.New("the daemon is stopping")

// execute signs an authorized request and makes the result durable. It tries
// until it succeeds, the request fails for good, SigningTimeout is over, or the
// daemon stops; in the last case the request stays authorized.
func (s *Signer) execute(r *Request, p *place) {
	defer s.signing.Done()
	defer p.leave()
	ctx, cancel := context.WithTimeout(s.life, s.config.SigningTimeout)
	defer cancel()

	result, err := s.sign(ctx, r, p.key)
	switch {
	case err == nil:
		done := *r
		done.Result = result
		s.finish(&done, p.key, Signed, "")
	case errors.Is(err, errWrongSignature):
		reason := fmt.Sprintf("it made a wrong signature for request %s: %v", r.ID, err)
		p.key.condemn(reason)
		s.finish(r, p.key, Failed, fmt.Sprintf("key %q is quarantined: %s", p.key.Name, reason))
	case s.life.Err() != nil, errors.Is(err, errStopping):
		s.log.Warn("request is left for the next start", zap.String("id", r.ID))
	default:
		s.finish(r, p.key, Failed, err.Error())
	}
}

// sign uses the key, again while it cannot be used, and verifies what it made.
// Nothing but a quarantine is final: a PIN can be corrected, a token come back.
func (s *Signer) sign(ctx context.Context, r *Request, key *managedKey) (*Result, error) {
	if err := key.slots.Acquire(ctx, 1); err != nil {
		return nil, s.timeout(key, errors.New("it was busy all the time"))
	}
	defer key.slots.Release(1)
	payloads, err := payloadsOf(&r.Submission)
	if err != nil {
		return nil, err
	}
	sigs := make([]capgo.Signature, 0, len(payloads))
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		var custody Custody
		sigs, custody, err = s.signRest(ctx, key, payloads, sigs)
		if err == nil {
			return &Result{
				Checksum:   sigs[0],
				SessionKey: capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: sigs[1]},
				Files:      sigs[2:],
				Custody:    custody,
			}, nil
		}
		if errors.Is(err, errWrongSignature) || key.quarantined() {
			return nil, err
		}
		s.log.Warn("signing is tried again", zap.String("id", r.ID), zap.String("key", key.Name), zap.Error(err))
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return nil, s.timeout(key, err)
		case <-s.stopping:
			return nil, errStopping
		}
	}
}

func (s *Signer) timeout(key *managedKey, cause error) error {
	return fmt.Errorf("key %q could not be used for %s: %w", key.Name, s.config.SigningTimeout, cause)
}

// signRest has the payloads signed and verified that have no signature yet, and
// returns the signatures so far also with an error: what was verified once need
// not be made again.
func (s *Signer) signRest(ctx context.Context, key *managedKey, payloads []capgo.Payload, sigs []capgo.Signature) ([]capgo.Signature, Custody, error) {
	if err := key.usable(ctx); err != nil {
		return sigs, Custody{}, err
	}
	custody, ok := key.proven()
	if !ok {
		return sigs, Custody{}, fmt.Errorf("%w: it has not proved its custody", ErrUnavailable)
	}
	for len(sigs) < len(payloads) {
		if key.quarantined() {
			return sigs, Custody{}, key.status().err()
		}
		part := payloads[len(sigs):min(len(sigs)+chunk, len(payloads))]
		got, err := key.Key.Sign(ctx, part)
		if err != nil {
			if ctx.Err() == nil { // else it is the request's time that is over
				key.fell(err)
			}
			return sigs, Custody{}, err
		}
		if len(got) != len(part) {
			return sigs, Custody{}, fmt.Errorf("%w: %d signatures for %d payloads", errWrongSignature, len(got), len(part))
		}
		for i, p := range part {
			if err := key.Pin.Verify(p, got[i]); err != nil {
				return sigs, Custody{}, fmt.Errorf("%w: %w", errWrongSignature, err)
			}
		}
		sigs = append(sigs, got...)
	}
	return sigs, custody, nil
}

// fell notes that the key failed while it was in use.
func (k *managedKey) fell(err error) {
	if errors.Is(err, ErrKeyUnusable) {
		k.become(KeyUnusable, err.Error(), nil)
		return
	}
	k.become(KeyUnavailable, err.Error(), nil)
}

// payloadsOf lists what the key signs for a submission: the checksum, a session
// key, and each file.
func payloadsOf(sub *Submission) ([]capgo.Payload, error) {
	checksum, err := capgo.ChecksumPayload(sub.Digest, sub.Format)
	if err != nil {
		return nil, err
	}
	out := make([]capgo.Payload, 0, 2+len(sub.Files))
	out = append(out, checksum, capgo.SessionKeyPayload())
	for _, f := range sub.Files {
		p, err := capgo.ChecksumPayload(f.Digest, sub.Format)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// errQuarantined is a result of a key that was quarantined meanwhile.
var errQuarantined = errors.New("its key was quarantined before the result was recorded")

// finish moves an authorized request to a final state, together with its log
// entry, and lands it: the result leaves only after that is durable. While the
// state cannot be written the result is kept and tried again; if the daemon stops
// first, the request stays authorized.
func (s *Signer) finish(r *Request, key *managedKey, to State, reason string) {
	done := *r
	done.State, done.Reason = to, shorten(reason, maxReason)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(context.Background(), func(tx Tx) error {
			if done.State == Signed && key.quarantined() {
				return errQuarantined
			}
			return s.move(tx, &done)
		})
		switch {
		case err == nil:
			s.log.Info("request", zap.String("id", done.ID), zap.String("state", string(done.State)), zap.String("key", done.Key),
				zap.Int64("log_index", done.LeafIndex), zap.String("reason", done.Reason))
			s.watch.land(&done)
			return
		case errors.Is(err, ErrStoreBroken), errors.Is(err, ErrMoved):
			s.log.Error("a result is held back until a restart can tell how its request stands", zap.String("id", r.ID), zap.Error(err))
			return
		case errors.Is(err, ErrStoreFull), errors.Is(err, ErrClockBack):
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
	return tx.Move(r, Authorized)
}

// condemn takes a key that made a wrong signature out of use for good. The faulty
// signature is not kept anywhere: it could reveal the private key.
func (s *Signer) condemn(key *managedKey, reason string) {
	reason = shorten(reason, maxReason)
	key.become(KeyQuarantined, reason, nil)
	s.log.Error("ALARM: a key is quarantined: it made a wrong signature, which can reveal a private key; find out why before it is used again",
		zap.String("key", key.Name), zap.String("reason", reason))
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(context.Background(), func(tx Tx) error {
			if err := tx.Quarantine(key.Name, reason); err != nil {
				return err
			}
			_, err := tx.Append(&audit.Leaf{
				Type: audit.LeafQuarantined, Time: s.clock.Now(),
				Key: key.Name, KeyFingerprint: key.Pin.Fingerprint(), Reason: reason,
			})
			return err
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
