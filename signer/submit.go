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
	sub = sub.complete()
	if err := sub.Validate(s.config.MaxFiles); err != nil {
		return nil, err
	}
	if err := checkIdempotencyKey(idempotencyKey); err != nil {
		return nil, err
	}
	if !printable(&who) {
		return nil, &Error{Kind: KindDenied, Detail: "denied: the requester's name, unit or token has characters that cannot be shown"}
	}
	if !s.running.Load() {
		return nil, notRunning()
	}
	fingerprint, err := fingerprint(who, &sub)
	if err != nil {
		return nil, err
	}
	keys, err := s.keys.findAll(&sub)
	if err != nil {
		return nil, err
	}
	for {
		r, fresh, err := s.attempt(ctx, &asked{sub, who, fingerprint, idempotencyKey, keys})
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

// notRunning is the answer while the start is not in the log.
func notRunning() error {
	return &Error{Kind: KindStore, Detail: "nothing is signed yet: the audit log cannot be written; see the status", Retry: 5 * time.Second}
}

// asked is one call of Submit.
type asked struct {
	sub            Submission
	who            policy.Identity
	fingerprint    string
	idempotencyKey string
	keys           []*managedKey // the first, and those of sub.Also; nil where none signs for the app
}

// errNotAdmitted is a request that was allowed in the transaction but not before.
var errNotAdmitted = errors.New("allowed, but not admitted")

// attempt decides twice: first, by the rules alone, to turn away early what could
// not be worked on, and then, in the transaction that records it, for good. fresh
// tells whether the record is new.
func (s *Signer) attempt(ctx context.Context, q *asked) (r *Request, fresh bool, err error) {
	first, err := q.record(s.policy.Load().Decide, s.now())
	if err != nil {
		return nil, false, err
	}
	if first.Decision.Effect != policy.Allow {
		r, fresh, err = s.record(ctx, q, nil)
		if !errors.Is(err, errNotAdmitted) {
			return r, fresh, err
		}
	}
	places, err := s.admit(ctx, q)
	if err != nil {
		if r := s.earlier(ctx, q); r != nil {
			return r, false, nil
		}
		return nil, false, err
	}
	r, fresh, err = s.record(ctx, q, places)
	if err == nil && fresh && r.State == Authorized {
		go s.execute(r, places)
		return r, true, nil
	}
	places.leave()
	s.signing.Done()
	return r, fresh, err
}

// admit makes sure that an allowed request can be worked on: its app has its keys,
// each may be used and has room in its queue, the daemon is not stopping. The
// caller gives back the places, and s.signing.
func (s *Signer) admit(ctx context.Context, q *asked) (places, error) {
	if err := q.noKey(); err != nil {
		return nil, err
	}
	if err := usable(ctx, q.keys); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	places, err := reserve(q.keys, q.who.UID, len(q.sub.Files)+2)
	if err != nil {
		s.signing.Done()
		return nil, err
	}
	return places, nil
}

// record decides and writes down, in one transaction, unless there is a record
// that answers the request already. fresh tells whether the record is new. A
// request that is allowed at once needs its places.
func (s *Signer) record(ctx context.Context, q *asked, places places) (out *Request, fresh bool, err error) {
	s.deciding.RLock()
	defer s.deciding.RUnlock()
	err = s.update(ctx, func(tx Tx) error {
		p, now := s.policy.Load(), s.now()
		r, forNow, err := q.judged(tx, p, now)
		if err != nil {
			return err
		}
		// Also the token of a repetition is spent.
		if err := q.spendToken(tx, r, now); err != nil {
			return err
		}
		if out, err = q.known(tx, r.Decision, forNow, now); out != nil || err != nil {
			return err
		}
		switch effect := r.Decision.Effect; {
		case effect != policy.Deny && q.noKey() != nil:
			return q.noKey()
		case effect == policy.Allow && places == nil:
			return errNotAdmitted
		case effect == policy.Deny && !s.denials.take(q.who.UID, s.clock.Now()):
			return &Error{Kind: KindTooMany, Retry: 10 * time.Second, Detail: "denied, like too many of your requests lately; this one is not recorded: " + r.Reason}
		case effect == policy.Allow:
			r.State, r.Reason = Authorized, ""
			if err := count(tx, p, r, now); err != nil {
				return err
			}
			s.watch.open(r.ID) // before anybody else can see the record, and wait for it
		case effect == policy.Approve:
			if err := s.wait(tx, r, now); err != nil {
				return err
			}
		}
		out, fresh = r, true
		return q.insert(tx, r, now)
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
		if q.sub.BreakGlass != "" && out.State == Pending {
			s.log.Error("ALARM: break-glass: an emergency was declared and waits for its approvals",
				zap.String("id", out.ID), zap.Stringer("requester", q.who), zap.String("reason", q.sub.BreakGlass))
		}
		s.observe(out)
	}
	return out, fresh, nil
}

// wait makes a request pending: it waits for approvals.
func (s *Signer) wait(tx Tx, r *Request, now time.Time) error {
	n, err := tx.PendingOf(r.Requester.UID)
	if err != nil {
		return err
	}
	if n >= s.config.MaxPending {
		return &Error{Kind: KindTooMany, Retry: time.Minute, Detail: fmt.Sprintf("%d requests of yours wait for approvals already, at most %d may; cancel some", n, s.config.MaxPending)}
	}
	if !s.waits.take(r.Requester.UID, now) {
		return &Error{Kind: KindTooMany, Retry: 10 * time.Second, Detail: "too many requests of yours began to wait for approvals lately; this one is not recorded"}
	}
	head, err := tx.Head(r.Submission.AppID, r.Submission.Channel)
	if err != nil {
		return err
	}
	var before []File
	if len(r.Submission.Files) > 0 && head.Last.Request != "" {
		if before, err = tx.Files(head.Last.Request); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	r.State, r.Reason = Pending, ""
	r.ExpiresAt = now.Add(r.Decision.Expires)
	r.Changes = changesSince(head.Last, before, r.Submission.Files)
	r.Statement = statement(r)
	s.watch.openPending(r.ID)
	return nil
}

// judged makes the record of a request, with the decision about it.
func (q *asked) judged(tx Tx, p *policy.Policy, now time.Time) (r *Request, forNow bool, err error) {
	r, err = q.record(p.Decide, now)
	if err != nil {
		return nil, false, err
	}
	v, err := judge(tx, p, r, now)
	r.Decision, r.Reason = v.Decision, v.Reason
	return r, v.ForNow != "", err
}

// spendToken lets a token be used for one request, and its repetitions, only: who
// gets hold of it later can do nothing with it.
func (q *asked) spendToken(tx Tx, r *Request, now time.Time) error {
	if q.who.Token == nil {
		return nil
	}
	first, err := tx.SpendToken(q.who.Token, q.fingerprint, now)
	if err != nil || first == q.fingerprint {
		return err
	}
	r.Decision = policy.Decision{Effect: policy.Deny, PolicyHash: r.Decision.PolicyHash, Reason: fmt.Sprintf(
		"the token %s of %s was used for another request already; get a new one for each", q.who.Token.ID, q.who.Token.Issuer)}
	r.Reason = r.Decision.Reason
	return nil
}

// maxSubmitLeaf leaves room in a log entry for what later entries add to it.
const maxSubmitLeaf = audit.MaxLeaf / 2

// record makes the record of what was asked, as it is before anything but the rules
// has decided: denied.
func (q *asked) record(decide func(policy.Request) policy.Decision, now time.Time) (*Request, error) {
	r := &Request{
		ID: newID(), State: Denied, Submission: q.sub, FileCount: len(q.sub.Files), Requester: q.who,
		Fingerprint: q.fingerprint, IdempotencyKey: q.idempotencyKey,
		SubmittedAt: now, UpdatedAt: now,
	}
	if files := summarize(q.sub.Files); files != nil {
		r.FilesSHA256 = files.SHA256
	}
	q.setKeys(r)
	r.Decision = decide(r.question(now, policy.Release{}))
	r.Reason = r.Decision.Reason
	return r, nil
}

// insert writes the record and its log entry.
func (q *asked) insert(tx Tx, r *Request, now time.Time) error {
	leafType := audit.LeafDenied
	switch r.State {
	case Authorized:
		leafType = audit.LeafAuthorized
	case Pending:
		leafType = audit.LeafPending
	}
	leaf, err := requestLeaf(r, leafType, now)
	if err != nil {
		return err
	}
	entry, err := leaf.Encode()
	if err != nil || len(entry) > maxSubmitLeaf {
		return invalid("/labels", "the log entry of this request would have more than %d bytes; give it fewer or shorter labels", maxSubmitLeaf)
	}
	if r.LeafIndex, err = tx.Append(leaf); err != nil {
		return err
	}
	if r.State == Denied {
		r.Submission.Files = nil // their digest is in the log
	}
	return tx.Insert(r)
}

// known returns the earlier record that answers the request, or nil: that of its
// idempotency key, whatever became of it, or one of the same submission that
// still stands.
func (q *asked) known(tx Tx, d policy.Decision, forNow bool, now time.Time) (*Request, error) {
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
	if errors.Is(err, ErrNotFound) || err == nil && !q.stands(r, d, forNow, now) {
		return nil, nil
	}
	if err == nil && q.idempotencyKey != "" {
		err = tx.Name(q.who.UID, q.idempotencyKey, r.ID)
	}
	return r, err
}

// stands reports whether an earlier record of the same submission answers it now.
func (q *asked) stands(r *Request, d policy.Decision, forNow bool, now time.Time) bool {
	switch r.State {
	case Pending:
		return q.sameKeys(r) && now.Before(r.ExpiresAt)
	case Authorized, Signed:
		return q.sameKeys(r)
	case Denied:
		// The same denial; the history that a reason tells of may have grown.
		return d.Effect == policy.Deny && r.Decision.PolicyHash == d.PolicyHash && r.Decision.Rule == d.Rule && (forNow || r.Decision.Reason == d.Reason)
	}
	return false
}

// earlier looks for a record that answers a request which cannot be admitted
// now: a retry gets its answer even while the key is away.
func (s *Signer) earlier(ctx context.Context, q *asked) (out *Request) {
	err := s.update(ctx, func(tx Tx) error {
		now := s.now()
		r, forNow, err := q.judged(tx, s.policy.Load(), now)
		if err != nil {
			return err
		}
		out, err = q.known(tx, r.Decision, forNow, now)
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

// fingerprint identifies what was asked and by whom.
func fingerprint(who policy.Identity, sub *Submission) (string, error) {
	var token string // a retry may come with another token of the same subject
	if who.Token != nil {
		token = who.Account()
	}
	b, err := json.Marshal(struct {
		UID   uint32
		Token string `json:",omitempty"`
		Sub   *Submission
	}{who.UID, token, sub})
	if err != nil {
		return "", fmt.Errorf("fingerprint of a submission: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// newID returns a name of 26 characters that nobody can guess.
func newID() string { return strings.ToLower(rand.Text()) }
