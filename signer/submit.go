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
// as that waits, was signed with the same key, or would be denied by the same policy.
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
	if len(sub.Labels) == 0 {
		sub.Labels = nil // absent and empty are the same submission
	}
	fingerprint, err := fingerprint(who, &sub)
	if err != nil {
		return nil, err
	}
	for {
		r, fresh, err := s.attempt(ctx, &asked{sub, who, fingerprint, idempotencyKey, s.keys.find(sub.AppID, sub.Key)})
		if errors.Is(err, errNotAdmitted) {
			continue // the policy was changed in between: look again
		}
		if err == nil && !fresh {
			r, err = s.store.Request(ctx, r.ID) // with its files: a retry gets the same answer
		}
		if err != nil {
			return nil, storeError(err)
		}
		return answer(r)
	}
}

// asked is one call of Submit.
type asked struct {
	sub            Submission
	who            policy.Identity
	fingerprint    string
	idempotencyKey string
	key            *managedKey // nil if no key signs for the app
}

// errNotAdmitted is a request that was allowed in the transaction but not before.
var errNotAdmitted = errors.New("allowed, but not admitted")

// attempt decides twice: first to turn away early what could not be worked on, and
// then, in the transaction that records it, for good. fresh tells whether the
// record is new.
func (s *Signer) attempt(ctx context.Context, q *asked) (r *Request, fresh bool, err error) {
	if s.policy.Load().Decide(q.question()).Effect != policy.Allow {
		return s.record(ctx, q, nil)
	}
	place, err := s.admit(ctx, q)
	if err != nil {
		if r := s.earlier(ctx, q); r != nil {
			return r, false, nil
		}
		return nil, false, err
	}
	r, fresh, err = s.record(ctx, q, place)
	if err == nil && fresh && r.State == Authorized {
		go s.execute(r, place)
		return r, true, nil
	}
	place.leave()
	s.signing.Done()
	return r, fresh, err
}

// admit makes sure that an allowed request can be worked on: its app has a key,
// the key may be used, its queue has room, the daemon is not stopping. The
// caller gives back the place, and s.signing.
func (s *Signer) admit(ctx context.Context, q *asked) (*place, error) {
	if q.key == nil {
		return nil, q.noKey()
	}
	if err := q.key.usable(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	place, err := q.key.reserve(q.who.UID, len(q.sub.Files)+2)
	if err != nil {
		s.signing.Done()
		return nil, err
	}
	return place, nil
}

// record decides and writes down, in one transaction, unless there is a record
// that answers the request already. fresh tells whether the record is new. A
// place is needed for a request that is allowed.
func (s *Signer) record(ctx context.Context, q *asked, place *place) (out *Request, fresh bool, err error) {
	s.deciding.RLock()
	defer s.deciding.RUnlock()
	err = s.update(ctx, func(tx Tx) error {
		decision := s.policy.Load().Decide(q.question())
		if out, err = q.known(tx, decision); out != nil || err != nil {
			return err
		}
		if decision.Effect == policy.Allow && q.key == nil {
			return q.noKey()
		}
		if decision.Effect == policy.Allow && place == nil {
			return errNotAdmitted
		}
		r, leaf, err := q.decided(decision, s.clock.Now().UTC().Truncate(time.Microsecond))
		if err != nil {
			return err
		}
		if r.State == Denied && !s.denials.take(q.who.UID, s.clock.Now()) {
			return &Error{Kind: KindTooMany, Retry: 10 * time.Second, Detail: "denied, like too many of your requests lately; this one is not recorded: " + decision.Reason}
		}
		if r.LeafIndex, err = tx.Append(leaf); err != nil {
			return err
		}
		if r.State == Authorized {
			s.watch.open(r.ID) // before anybody else can see the record, and wait for it
		}
		out, fresh = r, true
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
			zap.String("app", q.sub.AppID), zap.String("channel", q.sub.Channel), zap.String("version", q.sub.Version),
			zap.Stringer("requester", q.who), zap.String("rule", out.Decision.Rule), zap.String("reason", out.Decision.Reason))
	}
	return out, fresh, nil
}

// maxSubmitLeaf leaves room in a log entry for what later entries add to it.
const maxSubmitLeaf = audit.MaxLeaf / 2

// decided makes the record of a decision, and its log entry.
func (q *asked) decided(d policy.Decision, now time.Time) (*Request, *audit.Leaf, error) {
	r := &Request{
		ID: newID(), State: Denied, Submission: q.sub, FileCount: len(q.sub.Files), Requester: q.who, Decision: d,
		Fingerprint: q.fingerprint, IdempotencyKey: q.idempotencyKey,
		SubmittedAt: now, UpdatedAt: now, Reason: d.Reason,
	}
	leafType := audit.LeafDenied
	if d.Effect == policy.Allow {
		r.State, leafType = Authorized, audit.LeafAuthorized
	}
	if q.key != nil {
		r.Key, r.KeyID, r.KeyFingerprint = q.key.Name, q.key.Pin.KeyID(), q.key.Pin.Fingerprint()
	}
	leaf, err := requestLeaf(r, leafType, now)
	if err != nil {
		return nil, nil, err
	}
	entry, err := leaf.Encode()
	if err != nil || len(entry) > maxSubmitLeaf {
		return nil, nil, invalid("/labels", "the log entry of this request would have more than %d bytes; give it fewer or shorter labels", maxSubmitLeaf)
	}
	if r.State == Denied {
		r.Submission.Files = nil // their digest is in the log
	}
	return r, leaf, nil
}

// known returns the earlier record that answers the request, or nil: that of its
// idempotency key, whatever became of it, or one of the same submission that
// still stands.
func (q *asked) known(tx Tx, d policy.Decision) (*Request, error) {
	if q.idempotencyKey != "" {
		r, err := tx.ByIdempotencyKey(q.who.UID, q.idempotencyKey)
		if err == nil && r.Fingerprint != q.fingerprint {
			return nil, &Error{Kind: KindKeyReuse, Request: r, Detail: fmt.Sprintf("idempotency key %q was used for another request, %s; use a new key for a new request", q.idempotencyKey, r.ID)}
		}
		if err == nil || !errors.Is(err, ErrNotFound) {
			return r, err
		}
	}
	r, err := tx.ByFingerprint(q.fingerprint)
	if errors.Is(err, ErrNotFound) || err == nil && !q.stands(r, d) {
		return nil, nil
	}
	if err == nil && q.idempotencyKey != "" {
		err = tx.Name(q.who.UID, q.idempotencyKey, r.ID)
	}
	return r, err
}

// stands reports whether an earlier record of the same submission answers it now.
func (q *asked) stands(r *Request, d policy.Decision) bool {
	switch r.State {
	case Pending, Authorized, Signed:
		return q.key != nil && r.KeyFingerprint == q.key.Pin.Fingerprint()
	case Denied:
		return d.Effect == policy.Deny && r.Decision.PolicyHash == d.PolicyHash
	}
	return false
}

// earlier looks for a record that answers a request which cannot be admitted
// now: a retry gets its answer even while the key is away.
func (s *Signer) earlier(ctx context.Context, q *asked) (out *Request) {
	err := s.update(ctx, func(tx Tx) (err error) {
		out, err = q.known(tx, s.policy.Load().Decide(q.question()))
		return err
	})
	if err != nil {
		return nil
	}
	return out
}

func (q *asked) question() policy.Request {
	return policy.Request{App: q.sub.AppID, Channel: q.sub.Channel, Version: q.sub.Version, Requester: q.who}
}

func (q *asked) noKey() error {
	if q.sub.Key != "" {
		return &Error{Kind: KindNoKey, Detail: fmt.Sprintf("key %q does not sign for app %q, or there is no such key", q.sub.Key, q.sub.AppID)}
	}
	return &Error{Kind: KindNoKey, Detail: fmt.Sprintf("no key signs for app %q; add it to the apps of a key in the configuration", q.sub.AppID)}
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
