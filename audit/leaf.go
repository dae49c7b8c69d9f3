// Package audit is the transparency log of the daemon: what an entry says, the
// Merkle tree over the entries (RFC 6962, as in golang.org/x/mod/sumdb/tlog),
// checkpoints (C2SP tlog-checkpoint: signed notes), and the proofs that tie them
// together.
//
// The package is pure: it computes and checks; where the entries and hashes are
// kept is the business of its callers, who give it a [tlog.HashReader]. Its
// invariant is that a verifier needs nothing but the bytes of the entries, a
// checkpoint and the log's public key, and never trusts the daemon's word.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/policy"
)

// MaxLeaf is the largest encoded leaf in bytes: C2SP tlog-tiles entry bundles
// have a 16-bit length.
const MaxLeaf = 1<<16 - 1

// ErrLeafTooLarge is a leaf that does not fit into the log.
var ErrLeafTooLarge = errors.New("audit: a log entry is too large")

// LeafType says what happened.
type LeafType string

// The types of leaf. Those named after a state of a request record its move there.
const (
	LeafPending     LeafType = "pending"  // waits for approvals; again when another policy has judged it
	LeafApproved    LeafType = "approved" // a person agreed; the request may still be pending
	LeafRejected    LeafType = "rejected"
	LeafExpired     LeafType = "expired"
	LeafAuthorized  LeafType = "authorized"
	LeafDenied      LeafType = "denied"
	LeafSigned      LeafType = "signed"
	LeafFailed      LeafType = "failed"
	LeafCancelled   LeafType = "cancelled"
	LeafStarted     LeafType = "started"     // the daemon started: version, policy and keys
	LeafQuarantined LeafType = "quarantined" // a key made a wrong signature
	LeafReleased    LeafType = "released"    // an operator ended a quarantine
	LeafPolicy      LeafType = "policy"      // another policy came into force
	LeafClock       LeafType = "clock"       // an operator accepted that time begins again earlier
	LeafKey         LeafType = "key"         // an operator made, imported, checked, disabled ... a key
	LeafFreeze      LeafType = "freeze"      // signing was stopped, of an app, with a key, or of all
	LeafThaw        LeafType = "thaw"        // a person agreed to lift a freeze; lifted says whether it is
)

// Leaf is one entry of the log: one line of JSON, in the order of these fields.
// It holds no secret, no session key and no signature: signatures stand in it
// as hashes, so that a reader of the log learns that one was made, not what it is.
type Leaf struct {
	Version int       `json:"v"` // 1
	Type    LeafType  `json:"type"`
	Time    time.Time `json:"time"` // UTC, to the microsecond

	Request   string           `json:"request,omitempty"` // id of the request
	AppID     string           `json:"app_id,omitempty"`
	Channel   string           `json:"channel,omitempty"`
	Release   string           `json:"version,omitempty"` // of the bundle
	Digest    string           `json:"digest,omitempty"`  // SHA-256 of the plain bundle, hex
	Files     *FilesSummary    `json:"files,omitempty"`
	Format    string           `json:"checksum_format,omitempty"`
	Labels    json.RawMessage  `json:"labels,omitempty"` // object of strings, keys sorted
	Requester *policy.Identity `json:"requester,omitempty"`
	Decision  *policy.Decision `json:"decision,omitempty"`

	Key            string `json:"key,omitempty"`
	KeyFingerprint string `json:"key_fingerprint,omitempty"` // SHA-256 of the public key
	Custody        any    `json:"custody,omitempty"`
	// Statement is the text that people sign, of a request that is pending and of a
	// freeze. Approval is what one of them signed, of an entry about that;
	// Approvals are those that counted when a request was authorized, without the
	// signatures: these are in the entries about each.
	Statement string            `json:"statement,omitempty"`
	Approval  *policy.Approval  `json:"approval,omitempty"`
	Approvals []policy.Approval `json:"approvals,omitempty"`
	Freeze    string            `json:"freeze,omitempty"` // id
	Lifted    bool              `json:"lifted,omitempty"`
	// BreakGlass is the reason of a request that is an emergency.
	BreakGlass string `json:"break_glass,omitempty"`
	// Operation is what was done to Key, of a [LeafKey].
	Operation *KeyOperation `json:"operation,omitempty"`

	// Of a signed request: SHA-256 of the checksum signature, of the wrapped
	// session key (both as raw 256 bytes) and of all file signatures in order.
	ChecksumSHA256   string `json:"checksum_sha256,omitempty"`
	SessionKeySHA256 string `json:"session_key_sha256,omitempty"`
	FilesSHA256      string `json:"files_sha256,omitempty"`
	// Also are the request's further keys, in the order in which they were asked for.
	Also []AlsoKey `json:"also,omitempty"`

	Reason string `json:"reason,omitempty"`
	Daemon string `json:"daemon,omitempty"` // version of bundlesignd
	Policy string `json:"policy,omitempty"` // hash of the policy in force
	Keys   any    `json:"keys,omitempty"`
}

// AlsoKey is what an entry about a request says of one more key that signs the same:
// what the entry itself says of the first, in the same words.
type AlsoKey struct {
	Key              string `json:"key"`
	KeyFingerprint   string `json:"key_fingerprint,omitempty"` // "" if it was denied before the key was found
	Format           string `json:"checksum_format"`
	Custody          any    `json:"custody,omitempty"`
	ChecksumSHA256   string `json:"checksum_sha256,omitempty"`
	SessionKeySHA256 string `json:"session_key_sha256,omitempty"`
	FilesSHA256      string `json:"files_sha256,omitempty"`
}

// FilesSummary stands for the files of a delta update, which can be many
// thousands: their number, and the SHA-256 over the lines
// "<digest hex> <name>\n" in the order of the request.
type FilesSummary struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256"`
}

// Encode returns the bytes that are hashed into the tree.
func (l *Leaf) Encode() ([]byte, error) {
	c := *l
	c.Version = 1
	c.Time = l.Time.UTC().Truncate(time.Microsecond)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // entries are read by people, and "<" is one byte then
	if err := enc.Encode(&c); err != nil {
		return nil, fmt.Errorf("audit: encoding a %q leaf: %w", l.Type, err)
	}
	b := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if len(b) > MaxLeaf {
		return nil, fmt.Errorf("%w: a %q leaf has %d bytes, want at most %d", ErrLeafTooLarge, l.Type, len(b), MaxLeaf)
	}
	return b, nil
}

// DecodeLeaf reads what [Leaf.Encode] wrote.
func DecodeLeaf(b []byte) (*Leaf, error) {
	var l Leaf
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("audit: leaf: %w", err)
	}
	if l.Version != 1 {
		return nil, fmt.Errorf("audit: leaf: found version %d, want 1", l.Version)
	}
	return &l, nil
}
