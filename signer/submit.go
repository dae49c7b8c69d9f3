package signer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// Submit takes a submission, has the policy decide, and makes decision and
// intent durable. An allowed request comes back as authorized, with its signing
// under way: [Signer.Wait] tells how it ends.
//
// The same submission by the same uid gives the record it gave before, as long
// as that waits, was signed with the same key, or was denied by the same policy.
// So does the same idempotencyKey ("" for none), whatever became of the record;
// using it for another submission is an error.
//
// A denied request is an [*Error] of [KindDenied] with the record.
func (s *Signer) Submit(ctx context.Context, sub Submission, who policy.Identity, idempotencyKey string) (*Request, error) {
	if err := sub.Validate(s.config.MaxFiles); err != nil {
		return nil, err
	}
	if err := checkIdempotencyKey(idempotencyKey); err != nil {
		return nil, err
	}
	if !s.running.Load() {
		return nil, &Error{Kind: KindStore, Detail: "nothing is signed yet: the audit log cannot be written; see the status", Retry: 5 * time.Second}
	}
	fingerprint, err := fingerprint(who, &sub)
	if err != nil {
		return nil, err
	}
	// A first look, to refuse early what would only be turned away after it was
	// recorded. The decision that counts is made in the transaction below.
	key := s.keys.byApp[sub.AppID]
	allowed := s.policy.Load().Decide(question(&sub, who)).Effect == policy.Allow
	if allowed {
		release, err := s.admit(ctx, key, &sub)
		if err != nil {
			if r := s.earlier(ctx, fingerprint, who, idempotencyKey, key); r != nil {
				return answer(r)
			}
			return nil, err
		}
		defer func() { release() }()
		out, fresh, err := s.record(ctx, sub, who, fingerprint, idempotencyKey, key)
		if err != nil {
			return nil, storeError(err)
		}
		if fresh && out.State == Authorized {
			release = func() {} // now execute's to give back
			r := *out
			go s.execute(&r, key)
		}
		return answer(out)
	}
	out, _, err := s.record(ctx, sub, who, fingerprint, idempotencyKey, key)
	if err != nil {
		return nil, storeError(err)
	}
	return answer(out)
}

// admit makes sure that an allowed request can be worked on: its app has a key,
// the key may be used, its queue has room, the daemon is not stopping. The
// caller gives the place back with release.
func (s *Signer) admit(ctx context.Context, key *managedKey, sub *Submission) (release func(), err error) {
	if key == nil {
		return nil, &Error{Kind: KindNoKey, Detail: fmt.Sprintf("no key signs for app %q; add it to the apps of a key in the configuration", sub.AppID)}
	}
	if err := key.usable(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := key.reserve(); err != nil {
		s.signing.Done()
		return nil, err
	}
	return func() { key.leave(); s.signing.Done() }, nil
}

// record decides and writes down, in one transaction, unless there is a record
// of the same request already. fresh tells whether the record is new.
func (s *Signer) record(ctx context.Context, sub Submission, who policy.Identity, fingerprint, idempotencyKey string, key *managedKey) (out *Request, fresh bool, err error) {
	err = s.update(ctx, func(tx Tx) error {
		decision := s.policy.Load().Decide(question(&sub, who))
		prev, err := previous(tx, fingerprint, who, idempotencyKey)
		if err != nil {
			return err
		}
		if prev != nil && (idempotencyKey != "" && prev.IdempotencyKey == idempotencyKey || stands(prev, decision.PolicyHash, key)) {
			out = prev
			return nil
		}
		if decision.Effect == policy.Allow && key == nil {
			return &Error{Kind: KindNoKey, Detail: fmt.Sprintf("no key signs for app %q", sub.AppID)}
		}
		now := s.clock.Now().UTC().Truncate(time.Microsecond)
		r := &Request{
			ID: newID(), State: Denied, Submission: sub, Requester: who, Decision: decision,
			Fingerprint: fingerprint, IdempotencyKey: idempotencyKey,
			SubmittedAt: now, UpdatedAt: now, Reason: decision.Reason,
		}
		leafType := audit.LeafDenied
		if decision.Effect == policy.Allow {
			r.State, leafType = Authorized, audit.LeafAuthorized
		}
		if key != nil {
			r.Key, r.KeyID, r.KeyFingerprint = key.Name, key.Pin.KeyID(), key.Pin.Fingerprint()
		}
		leaf, err := requestLeaf(r, leafType, now)
		if err != nil {
			return err
		}
		if r.LeafIndex, err = tx.Append(leaf); err != nil {
			return err
		}
		out, fresh = r, true
		if r.State == Authorized {
			s.watch.open(r.ID) // before anybody else can see the record, and wait for it
		}
		return tx.Insert(r)
	})
	if err != nil {
		if fresh {
			s.watch.drop(out.ID)
		}
		return nil, false, err
	}
	if fresh {
		s.log.Info("request", zap.String("id", out.ID), zap.String("state", string(out.State)),
			zap.String("app", sub.AppID), zap.String("channel", sub.Channel), zap.String("version", sub.Version),
			zap.Stringer("requester", who), zap.String("rule", out.Decision.Rule), zap.String("reason", out.Decision.Reason))
	}
	return out, fresh, nil
}

// previous returns the earlier record of the same request, or nil.
func previous(tx Tx, fingerprint string, who policy.Identity, idempotencyKey string) (*Request, error) {
	if idempotencyKey != "" {
		r, err := tx.ByIdempotencyKey(who.UID, idempotencyKey)
		if err == nil && r.Fingerprint != fingerprint {
			return nil, &Error{Kind: KindKeyReuse, Request: r, Detail: fmt.Sprintf("idempotency key %q was used for another request, %s; use a new key for a new request", idempotencyKey, r.ID)}
		}
		if err == nil || !errors.Is(err, ErrNotFound) {
			return r, err
		}
	}
	r, err := tx.ByFingerprint(fingerprint)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return r, err
}

// stands reports whether an earlier record answers the same request asked now.
func stands(r *Request, policyHash string, key *managedKey) bool {
	sameKey := key != nil && r.KeyFingerprint == key.Pin.Fingerprint()
	switch r.State {
	case Pending, Authorized, Signed:
		return sameKey
	case Denied:
		return r.Decision.PolicyHash == policyHash
	}
	return false
}

// earlier looks for a record that answers a request which cannot be admitted
// now: a retry gets its answer even while the key is away.
func (s *Signer) earlier(ctx context.Context, fingerprint string, who policy.Identity, idempotencyKey string, key *managedKey) *Request {
	var out *Request
	err := s.update(ctx, func(tx Tx) error {
		r, err := previous(tx, fingerprint, who, idempotencyKey)
		if err == nil && r != nil && (idempotencyKey != "" && r.IdempotencyKey == idempotencyKey || stands(r, s.policy.Load().Hash(), key)) {
			out = r
		}
		return err
	})
	if err != nil {
		return nil
	}
	return out
}

// answer turns a record into what Submit returns.
func answer(r *Request) (*Request, error) {
	switch r.State {
	case Pending, Authorized, Signed:
		return r, nil
	case Denied:
		return nil, &Error{Kind: KindDenied, Detail: "denied: " + r.Reason, Request: r}
	}
	return nil, &Error{Kind: KindConflict, Detail: fmt.Sprintf("request %s is %s: %s", r.ID, r.State, r.Reason), Request: r}
}

func question(sub *Submission, who policy.Identity) policy.Request {
	return policy.Request{App: sub.AppID, Channel: sub.Channel, Version: sub.Version, Requester: who}
}

// fingerprint identifies what was asked and by whom.
func fingerprint(who policy.Identity, sub *Submission) (string, error) {
	b, err := json.Marshal(struct {
		UID uint32
		Sub *Submission
	}{who.UID, sub})
	if err != nil {
		return "", fmt.Errorf("fingerprint of a submission: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// newID returns a name of 26 characters that nobody can guess.
func newID() string { return strings.ToLower(rand.Text()) }
