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

// execute signs an authorized request and makes the result durable. It tries
// until it succeeds, the request fails for good, SigningTimeout is over, or the
// daemon stops; in the last case the request stays authorized.
func (s *Signer) execute(r *Request, key *managedKey) {
	defer s.signing.Done()
	defer key.leave()
	ctx, cancel := context.WithTimeout(s.life, s.config.SigningTimeout)
	defer cancel()

	result, err := s.sign(ctx, r, key)
	switch {
	case err == nil:
		r.Result = result
		s.finish(r, Signed, "")
	case s.life.Err() != nil, errors.Is(err, errStopping):
		s.log.Warn("request is left for the next start", zap.String("id", r.ID))
	case errors.Is(err, errWrongSignature):
		s.quarantine(r, key, err)
	default:
		s.finish(r, Failed, err.Error())
	}
}

var errStopping = errors.New("the daemon is stopping")

// sign uses the key, again while it is unavailable, and verifies what it made.
func (s *Signer) sign(ctx context.Context, r *Request, key *managedKey) (*Result, error) {
	if err := key.slots.Acquire(ctx, 1); err != nil {
		return nil, s.timeout(key, errors.New("it was busy all the time"))
	}
	defer key.slots.Release(1)
	payloads, err := payloadsOf(&r.Submission)
	if err != nil {
		return nil, err
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		result, err := s.signOnce(ctx, r, key, payloads)
		if err == nil || errors.Is(err, errWrongSignature) {
			return result, err
		}
		if errors.Is(err, ErrKeyUnusable) {
			key.set(KeyUnusable, err.Error())
			return nil, fmt.Errorf("key %q cannot be used: %w", key.Name, err)
		}
		key.set(KeyUnavailable, err.Error())
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

// signOnce has every payload signed and verified, or none.
func (s *Signer) signOnce(ctx context.Context, r *Request, key *managedKey, payloads []capgo.Payload) (*Result, error) {
	if err := key.usable(ctx); err != nil {
		var e *Error
		if errors.As(err, &e) && e.Kind == KindKeyUnusable {
			return nil, fmt.Errorf("%w: %s", ErrKeyUnusable, e.Detail)
		}
		return nil, err
	}
	custody, ok := key.proven()
	if !ok {
		return nil, fmt.Errorf("%w: it has not proved its custody", ErrUnavailable)
	}
	sigs := make([]capgo.Signature, 0, len(payloads))
	for rest := payloads; len(rest) > 0; {
		part := rest[:min(chunk, len(rest))]
		rest = rest[len(part):]
		got, err := key.Key.Sign(ctx, part)
		if err != nil {
			return nil, err
		}
		if len(got) != len(part) {
			return nil, fmt.Errorf("%w: %d signatures for %d payloads", errWrongSignature, len(got), len(part))
		}
		for i, p := range part {
			if err := key.Pin.Verify(p, got[i]); err != nil {
				return nil, fmt.Errorf("%w: %w", errWrongSignature, err)
			}
		}
		sigs = append(sigs, got...)
	}
	return &Result{
		Checksum:   sigs[0],
		SessionKey: capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: sigs[1]},
		Files:      sigs[2:],
		Custody:    custody,
	}, nil
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

// finish moves an authorized request to a final state. The result leaves, by
// landing, only after that is durable; until the state can be written again it
// is kept and tried, and if the daemon stops first the request stays authorized.
func (s *Signer) finish(r *Request, to State, reason string) {
	leafType := audit.LeafSigned
	if to == Failed {
		leafType = audit.LeafFailed
	}
	s.conclude(r, to, reason, leafType, nil)
}

// quarantine takes a key that made a wrong signature out of use for good, and
// fails the request. The faulty signature is not kept anywhere: it could reveal
// the private key.
func (s *Signer) quarantine(r *Request, key *managedKey, cause error) {
	reason := fmt.Sprintf("it made a wrong signature for request %s: %v", r.ID, cause)
	key.set(KeyQuarantined, reason)
	s.log.Error("ALARM: a key is quarantined: it made a wrong signature, which can reveal a private key; find out why before it is used again",
		zap.String("key", key.Name), zap.String("request", r.ID), zap.Error(cause))
	s.conclude(r, Failed, fmt.Sprintf("key %q is quarantined: %s", key.Name, reason), audit.LeafFailed, func(tx Tx) error {
		if err := tx.Quarantine(key.Name, reason); err != nil {
			return err
		}
		_, err := tx.Append(&audit.Leaf{
			Type: audit.LeafQuarantined, Time: s.clock.Now(),
			Key: key.Name, KeyFingerprint: key.Pin.Fingerprint(), Reason: reason,
		})
		return err
	})
}

// conclude makes the final state durable together with its log entry and with
// what else belongs to it, and then lands the request.
func (s *Signer) conclude(r *Request, to State, reason string, leafType audit.LeafType, also func(Tx) error) {
	done := *r
	done.State, done.Reason = to, shorten(reason)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(context.Background(), func(tx Tx) error {
			if also != nil {
				if err := also(tx); err != nil {
					return err
				}
			}
			done.UpdatedAt = s.clock.Now().UTC().Truncate(time.Microsecond)
			leaf, err := requestLeaf(&done, leafType, done.UpdatedAt)
			if err != nil {
				return err
			}
			if done.LeafIndex, err = tx.Append(leaf); err != nil {
				return err
			}
			return tx.Move(&done, Authorized)
		})
		if err == nil {
			s.log.Info("request", zap.String("id", done.ID), zap.String("state", string(to)), zap.String("key", done.Key),
				zap.Int64("log_index", done.LeafIndex), zap.String("reason", reason))
			s.watch.land(&done)
			return
		}
		s.log.Error("a result is held back: it cannot be recorded", zap.String("id", r.ID), zap.Error(err))
		if errors.Is(err, ErrStoreBroken) || errors.Is(err, ErrMoved) {
			return // only a restart can tell how this request stands
		}
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

func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}
