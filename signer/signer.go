// Package signer is the core of bundlesignd: a request's life from submission to
// signature.
//
// This file is the architecture in one place: the types that the rest of the
// daemon speaks in, and the two things that the core needs from the world,
// [Key] and [Store], as interfaces with written contracts. The life of a
// request is in submit.go (validate, decide, make the intent durable),
// execute.go (use the key, verify, make the result durable) and recover.go
// (finish after a crash what was begun before it).
//
// Invariants, on every path:
//
//  1. A private key is used only for a request whose authorization is durable,
//     and a result leaves only after its record and log entry are.
//  2. A key is given a [capgo.Payload] and nothing else.
//  3. A signature is verified with the pinned public key before it is recorded.
//  4. What cannot be decided is denied, with the reason.
//  5. What was decided about is what is signed.
//  6. No secret is in an error, a log line or the audit log.
package signer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
)

// State is where a request is in its life.
type State string

// The states. A request that is allowed at once starts as authorized; one that
// is denied starts and ends as denied.
const (
	Pending    State = "pending"    // waits for approvals
	Authorized State = "authorized" // may be signed; the intent is durable
	Signed     State = "signed"     // done: the result is durable and in the log
	Denied     State = "denied"     // the policy said no
	Rejected   State = "rejected"   // an approver said no
	Expired    State = "expired"    // the approvals did not come in time
	Cancelled  State = "cancelled"  // the requester took it back
	Failed     State = "failed"     // the key could not be used
)

// Final reports whether a request in this state never changes again.
func (s State) Final() bool { return s != Pending && s != Authorized }

// File is one file of a delta update.
type File struct {
	Name   string       `json:"file_name"`
	Digest capgo.Digest `json:"digest"`
}

// Submission is what a requester asks to have signed. Its fields are checked by
// [Submission.Validate].
type Submission struct {
	AppID   string
	Channel string
	Version string // semver, without a leading v
	Digest  capgo.Digest
	Files   []File
	Format  capgo.ChecksumFormat
	Labels  map[string]string
	// Key names the key to sign with, or is "" for the one that signs for the
	// app's requests that name none.
	Key string `json:",omitempty"`
	// Also are further keys that sign the same, at most [MaxAlso].
	Also []AlsoKey `json:",omitempty"`
	// BreakGlass is the reason of a request that is an emergency, or "".
	BreakGlass string `json:",omitempty"`
}

// MaxAlso is how many keys may sign a submission beside the first.
const MaxAlso = 3

// AlsoKey asks for one more result of a submission, by another key of the app: its
// native versions carry different keys.
type AlsoKey struct {
	Key    string               // its name
	Format capgo.ChecksumFormat // "": that of the submission
}

// Request is the durable record of a submission and all that became of it.
//
// The files of a delta update can be many megabytes. Only [Store.Request] returns
// them, with their signatures; everywhere else Submission.Files and Result.Files
// are empty. Of a request that was denied, rejected, cancelled or has expired they
// are not kept at all.
type Request struct {
	ID         string
	Seq        int64 // order of submission, from 1; set by the store
	State      State
	Submission Submission
	FileCount  int // of the submission
	// FilesSHA256 stands for the files in the log and in the statement, see
	// [audit.FilesSummary]; "" if there are none.
	FilesSHA256 string `json:",omitempty"`
	Requester   policy.Identity
	Decision    policy.Decision
	// Fingerprint identifies requester, submission and key: the same
	// fingerprint means the same request, asked again.
	Fingerprint string
	// IdempotencyKey is the requester's own name for the request, or "".
	IdempotencyKey string
	Key            string // name of the key; "" if denied before one was found
	KeyID          string
	KeyFingerprint string
	// Also are the keys of Submission.Also, in its order. What holds for Key holds
	// for each of them.
	Also        []KeyRef `json:",omitempty"`
	SubmittedAt time.Time
	UpdatedAt   time.Time
	Reason      string  // why it is in a final state other than signed
	Result      *Result // if signed
	LeafIndex   int64   // index of the log entry of the newest move

	// Of a request that needs, or needed, approvals.
	Statement string            // what people sign, byte for byte
	Changes   []string          // of the bundle since the last release, for people
	ExpiresAt time.Time         // when it is no longer pending
	Approvals []policy.Approval // of this statement
	Rejection *policy.Approval
	Note      string // what happened to it meanwhile, for people
}

// KeyRef is a key that a request was decided about.
type KeyRef struct {
	Key            string // its name then
	KeyID          string // "", like KeyFingerprint, if it was denied before the key was found
	KeyFingerprint string
}

// keys returns all keys of the request, the first one first.
func (r *Request) keys() []KeyRef {
	return append([]KeyRef{{r.Key, r.KeyID, r.KeyFingerprint}}, r.Also...)
}

// keyNames are the names of all its keys, for people.
func (r *Request) keyNames() string {
	names := r.Key
	for _, k := range r.Also {
		names += ", " + k.Key
	}
	return names
}

// Freeze stops signing: of one app, with one key, or of all.
type Freeze struct {
	ID    string
	All   bool
	AppID string
	Key   string // name of a key
	// KeyFingerprint is of that key: it is frozen under every name.
	KeyFingerprint string `json:",omitempty"`
	Reason         string
	By             policy.Identity
	At             time.Time
	// Statement is what people sign, in [policy.ThawNamespace], to lift it.
	Statement string
	Approvals []policy.Approval
	Lifted    bool
}

// Stops reports whether the freeze stops a request, as far as that is not an
// emergency.
func (f *Freeze) Stops(r *Request) bool {
	return !f.Lifted && (f.All || f.AppID != "" && f.AppID == r.Submission.AppID ||
		f.KeyFingerprint != "" && slices.ContainsFunc(r.keys(), func(k KeyRef) bool { return k.KeyFingerprint == f.KeyFingerprint }))
}

// Result is what the keys made of a request.
type Result struct {
	KeyResult             // of the first key
	Also      []KeyResult `json:",omitempty"` // in the order of Submission.Also
}

// KeyResult is what one key made of a request. Each has a session key of its own.
type KeyResult struct {
	Checksum   capgo.Signature
	SessionKey capgo.WrappedKey
	Files      []capgo.Signature // in the order of Submission.Files
	Custody    Custody
}

// CustodyLevel says how well a private key is kept, from what its backend can
// prove. Levels are ordered: a demand is met by its own level and any above.
type CustodyLevel string

// The levels, from the weakest.
const (
	// Software: the private key is in a file or in the daemon's memory.
	Software CustodyLevel = "software"
	// NonExtractable: the backend holds the key and will not give it out, but it
	// was, or may once have been, outside.
	NonExtractable CustodyLevel = "non-extractable"
	// NeverExtractable: the backend made the key and has never been able to
	// give it out.
	NeverExtractable CustodyLevel = "never-extractable"
)

// Rank orders the levels from 0; an unknown level has -1.
func (l CustodyLevel) Rank() int {
	switch l {
	case Software:
		return 0
	case NonExtractable:
		return 1
	case NeverExtractable:
		return 2
	}
	return -1
}

// Custody is what a backend showed about where a private key lives.
type Custody struct {
	Level   CustodyLevel `json:"level"`
	Backend string       `json:"backend"` // "file", "pkcs11", ...
	// Evidence are the facts that the level was concluded from, by name, in
	// the backend's own terms: {"CKA_SENSITIVE": "true", ...}. Never a secret.
	Evidence map[string]string `json:"evidence"`
}

// Evidence is what a key shows of itself when it is inspected.
type Evidence struct {
	PublicKey *capgo.PublicKey
	Custody   Custody
}

// Key is one private key in one backend. All methods may be called concurrently,
// return promptly once ctx ends, and may be called before the backend can be
// reached: they then fail with [ErrUnavailable] and work once it can be.
//
// An error that wraps [ErrUnavailable] means that the same call may succeed
// later; one that wraps [ErrKeyUnusable] means that it will not until somebody
// changes the key, the token or the configuration. Any other error counts as
// ErrUnavailable. No error holds a secret.
//
// An error may know when the same call is worth another try, such as when a
// quota refills: it, or one that it wraps, then has the method
// RetryAfter() time.Duration. Nobody asks the key again before that, and callers
// are told.
type Key interface {
	// Sign has the private key sign each payload, in order, all or none. The
	// operation is deterministic but for session keys, so a caller may repeat
	// it. Results are not verified: that is the core's work. A key works on as
	// many payloads side by side as its backend does well with, gives each of its
	// own operations its own deadline, and lets other calls have their turn beside
	// a long one.
	Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error)
	// Inspect asks the backend for the public key and custody evidence, anew
	// at each call. It refuses, with ErrKeyUnusable, a key that devices do not
	// accept.
	Inspect(ctx context.Context) (*Evidence, error)
	// Close waits for calls in flight to end and releases what the key holds.
	// Later calls fail with ErrKeyUnusable.
	Close() error
}

// LogKey is the private key of the audit log in a backend: Ed25519 (RFC 8032). It
// keeps the contract of a [Key], and it is another key than any that signs for
// an app.
type LogKey interface {
	// SignCheckpoint returns the 64 bytes of the signature over the text. It is
	// not verified: that is the caller's work.
	SignCheckpoint(ctx context.Context, text audit.CheckpointText) ([]byte, error)
	// PublicKey asks the backend for the public key, anew at each call. It
	// refuses, with ErrKeyUnusable, a key that is not Ed25519.
	PublicKey(ctx context.Context) (ed25519.PublicKey, error)
	// Close is as that of a Key.
	Close() error
}

// Errors of a [Key].
var (
	ErrUnavailable = errors.New("key backend unavailable")
	ErrKeyUnusable = errors.New("key unusable")
)

// Store is the durable state of the daemon: requests, and the audit log over
// them.
//
// When Update returns without an error, what it did survives the loss of power.
// When it returns an error, nothing of it is visible or ever will be, except
// after [ErrStoreBroken], when only a restart can tell.
type Store interface {
	// Update runs fn in a transaction. Several callers' functions may share one
	// commit, but each sees the effects of those before it, and one that fails
	// takes back its own effects only. fn runs alone, may be run once only, must
	// not block, and must not use the Store or keep the Tx.
	Update(ctx context.Context, fn func(Tx) error) error

	// Request returns a request as last committed, with its files, or
	// [ErrNotFound].
	Request(ctx context.Context, id string) (*Request, error)
	// Requests lists requests in falling order of Seq, without their files.
	Requests(ctx context.Context, f Filter) ([]*Request, error)

	// Receipt returns the proof that the leaf at index is in the log. The same
	// index always gives the same receipt.
	Receipt(ctx context.Context, index int64) (*audit.Receipt, error)
	// Log gives read access to the audit log.
	Log() audit.Reader

	// Quarantined returns the keys that must not be used, by name, with the
	// reason.
	Quarantined(ctx context.Context) (map[string]string, error)
	// Disabled returns the keys that an operator took out of use, by name, with
	// the reason.
	Disabled(ctx context.Context) (map[string]string, error)
	// Freezes returns the freezes in force, oldest first.
	Freezes(ctx context.Context) ([]Freeze, error)
}

// Tx is a transaction of a [Store].
type Tx interface {
	// Request returns a request as the transaction sees it, or [ErrNotFound].
	Request(id string) (*Request, error)
	// ByFingerprint returns the newest request with this fingerprint, or
	// [ErrNotFound].
	ByFingerprint(fingerprint string) (*Request, error)
	// ByIdempotencyKey returns the request that this uid made under this key, or
	// [ErrNotFound].
	ByIdempotencyKey(uid uint32, key string) (*Request, error)
	// Insert adds a request, with its files and under its IdempotencyKey if it has
	// one, and sets its Seq.
	Insert(r *Request) error
	// Name lets the request with this id be found under one more idempotency
	// key of its requester.
	Name(uid uint32, key, id string) error
	// Move replaces the request that has r's ID, which must still be in state
	// from: otherwise it fails with [ErrMoved]. The files that were inserted
	// stay, unless r was denied, rejected, cancelled or has expired; their
	// signatures are added if r has them.
	Move(r *Request, from State) error
	// Append adds a leaf to the audit log and returns its index. It fails with
	// [ErrClockBack] if leaf.Time is more than [ClockTolerance] before that of
	// the leaf before it, unless the leaf says just that ([audit.LeafClock]);
	// within the tolerance it takes the earlier leaf's time.
	Append(leaf *audit.Leaf) (index int64, err error)
	// Quarantine records that a key must not be used, and why.
	Quarantine(key, reason string) error
	// Release ends a key's quarantine, or fails with [ErrNotFound].
	Release(key string) error
	// DisableKey records that a key is out of use, and why; the newest reason
	// stays.
	DisableKey(key, reason string) error
	// EnableKey undoes it, or fails with [ErrNotFound].
	EnableKey(key string) error

	// Files returns the files that a request was inserted with.
	Files(id string) ([]File, error)
	// Pending returns the requests that wait for approvals, without their files,
	// oldest first.
	Pending() ([]*Request, error)
	// PendingOf returns how many requests of a uid wait for approvals.
	PendingOf(uid uint32) (int, error)
	// Authorized returns the requests for an app and channel that are authorized
	// and not yet signed, without their files.
	Authorized(app, channel string) ([]*Request, error)
	// Use takes note that a request was authorized, for [Tx.Uses].
	Use(u Use) error
	// Uses returns how many requests were authorized since a time, of those that
	// have this value in this scope.
	Uses(scope policy.Scope, value string, since time.Time) (int, error)
	// Head returns what was signed for an app and channel; its zero value:
	// nothing yet.
	Head(app, channel string) (Head, error)
	// SetHead replaces it.
	SetHead(app, channel string, h Head) error
	// Freezes returns the freezes in force, oldest first.
	Freezes() ([]Freeze, error)
	// Freeze returns a freeze, also one that was lifted, or [ErrNotFound].
	Freeze(id string) (*Freeze, error)
	// PutFreeze adds a freeze, or replaces the one with its ID.
	PutFreeze(f *Freeze) error
	// SpendToken takes note for which request a token was used, by the request's
	// fingerprint, until the token expires. It returns the fingerprint of the
	// request for which it was used first.
	SpendToken(t *policy.Token, fingerprint string, now time.Time) (first string, err error)
}

// Use is one authorization, as limits count it.
type Use struct {
	Request string
	At      time.Time
	Rule    string
	App     string
	Account string // [policy.Policy.Account]
}

// Head is what was signed for an app and channel.
type Head struct {
	Last    policy.Release // the newest
	Highest policy.Release // the one with the highest version
}

// ClockTolerance is how far the clock may step back between two log entries
// before the daemon stops signing.
const ClockTolerance = 2 * time.Second

// Filter selects requests. Zero fields select everything.
type Filter struct {
	States []State
	AppID  string
	Before int64 // only requests with a Seq below this; 0: no bound
	Limit  int   // at most this many; 0 means 100, the greatest is 1000
}

// Errors of a [Store].
var (
	ErrNotFound    = errors.New("not found")
	ErrMoved       = errors.New("the request has moved on")
	ErrClockBack   = errors.New("the system clock is behind the audit log")
	ErrStoreFull   = errors.New("no space left for the state")
	ErrStoreBroken = errors.New("the state cannot be written")
	// ErrLogKey: nothing was written, because the log's key cannot be used now.
	ErrLogKey = errors.New("the audit log cannot be signed")
)

// Clock is the time as the core sees it.
type Clock interface{ Now() time.Time }
