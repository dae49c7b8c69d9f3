// Package wire is what crosses the socket: the JSON of every request and answer
// of the bundlesignd API, shared by the daemon's handlers and the Go client.
//
// It holds types and constants only. docs/openapi.yaml describes the same
// surface for other languages; a test holds the two together.
package wire

import "time"

// MediaTypeProblem is the media type of every error (RFC 9457).
const MediaTypeProblem = "application/problem+json"

// Submit is the body of POST /v1/signatures.
type Submit struct {
	AppID          string            `json:"app_id"`
	Channel        string            `json:"channel"`
	Version        string            `json:"version"`                   // semver 2.0.0, no leading v
	Digest         string            `json:"digest"`                    // SHA-256 of the plain zip, 64 hex digits
	Files          []SubmitFile      `json:"files,omitempty"`           // of a delta update
	ChecksumFormat string            `json:"checksum_format,omitempty"` // "hex" (default) or "legacy"
	Labels         map[string]string `json:"labels,omitempty"`          // e.g. commit, pipeline
	Key            string            `json:"key,omitempty"`             // name of the key; default: the app's
	// Also are further keys that sign the same request, at most [MaxAlso]: those of
	// other native versions of the app.
	Also []AlsoKey `json:"also,omitempty"`
	// BreakGlass is why the ordinary rules cannot be waited for; it asks the rules
	// for emergencies, and no others.
	BreakGlass string `json:"break_glass,omitempty"`
}

// MaxAlso is how many keys a request may be signed with beside the first.
const MaxAlso = 3

// AlsoKey asks for one more result of a request, by another key of the app.
type AlsoKey struct {
	Key            string `json:"key"`                       // name of the key
	ChecksumFormat string `json:"checksum_format,omitempty"` // "hex" or "legacy"; default: that of the request
}

// SubmitFile is one file of a delta update.
type SubmitFile struct {
	FileName string `json:"file_name"`
	Digest   string `json:"digest"` // SHA-256 of the plain, uncompressed file, 64 hex digits
}

// Signature is one request and, once it is signed, its result: the answer of
// POST /v1/signatures and GET /v1/signatures/{id}.
type Signature struct {
	ID             string            `json:"id"`
	State          string            `json:"state"`
	AppID          string            `json:"app_id"`
	Channel        string            `json:"channel"`
	Version        string            `json:"version"`
	Digest         string            `json:"digest"`
	ChecksumFormat string            `json:"checksum_format"`
	Labels         map[string]string `json:"labels,omitempty"`
	Requester      Requester         `json:"requester"`
	Rule           string            `json:"rule,omitempty"` // the policy rule that decided
	PolicyHash     string            `json:"policy_hash"`
	Reason         string            `json:"reason"` // of the decision or, in a final state, of that state
	SubmittedAt    time.Time         `json:"submitted_at"`
	UpdatedAt      time.Time         `json:"updated_at"`

	Key       string `json:"key,omitempty"`        // name of the key
	KeyID     string `json:"key_id,omitempty"`     // first 20 characters of the public key's base64
	PublicKey string `json:"public_key,omitempty"` // PKCS#1 PEM

	BreakGlass string `json:"break_glass,omitempty"` // the reason, of an emergency

	// Of a request that needs, or needed, approvals. Statement is the text that
	// people sign; it and Missing are there while it is pending. A list leaves out
	// statement, approvals and rejection.
	Statement string     `json:"statement,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Approvals []Approval `json:"approvals,omitempty"`
	Rejection *Approval  `json:"rejection,omitempty"`
	Missing   []Missing  `json:"missing,omitempty"`
	// Note says what happened to the request meanwhile, such as that another
	// policy judged it again.
	Note string `json:"note,omitempty"`

	// Files are in the order of the submission. A list leaves them out, and of a
	// denied request they are not kept; FileCount is always there.
	Files     []File `json:"files,omitempty"`
	FileCount int    `json:"file_count,omitempty"`

	// Progress is there while the request is being signed.
	Progress *Progress `json:"progress,omitempty"`

	// The result. SessionKey is shown to the requester's uid and to root only.
	Checksum   string   `json:"checksum,omitempty"`
	SessionKey string   `json:"session_key,omitempty"` // base64(iv):base64(wrapped key)
	Custody    *Custody `json:"custody,omitempty"`
	Log        *Receipt `json:"log,omitempty"` // of the newest move of the request

	// Also are the results by further keys, in the order of [Submit.Also].
	Also []KeyResult `json:"also,omitempty"`
}

// KeyResult is one of a request's further keys and, once the request is signed, its
// result. It is for apps that carry this key: it shares nothing with the other
// results but the digests. SessionKey is another than the request's, and shown to
// the same.
type KeyResult struct {
	Key            string `json:"key"`                  // name of the key
	KeyID          string `json:"key_id,omitempty"`     // first 20 characters of the public key's base64
	PublicKey      string `json:"public_key,omitempty"` // PKCS#1 PEM; a list leaves it out
	ChecksumFormat string `json:"checksum_format"`

	Checksum   string `json:"checksum,omitempty"`
	SessionKey string `json:"session_key,omitempty"` // base64(iv):base64(wrapped key)
	// Files are in the order of the submission; a list leaves them out.
	Files   []File   `json:"files,omitempty"`
	Custody *Custody `json:"custody,omitempty"`
}

// Requester is who submitted, as the kernel and the issuer of a token told the
// daemon.
type Requester struct {
	UID   uint32 `json:"uid"`
	User  string `json:"user,omitempty"`
	Unit  string `json:"unit,omitempty"` // systemd unit
	Token *Token `json:"token,omitempty"`
}

// Token is the OIDC ID token that a requester had.
type Token struct {
	Issuer  string `json:"issuer"` // its name in the configuration
	Subject string `json:"subject"`
}

// File is one file of a delta update; FileHash is there once it is signed.
type File struct {
	FileName string `json:"file_name"`
	Digest   string `json:"digest"`
	FileHash string `json:"file_hash,omitempty"`
}

// Custody is what the key's backend showed about where the private key lives.
type Custody struct {
	Level    string            `json:"level"`   // "software", "non-extractable", "never-extractable"
	Backend  string            `json:"backend"` // "file", "pkcs11"
	Evidence map[string]string `json:"evidence"`
}

// Receipt proves that an entry is in the audit log. With the log's public key
// it can be checked offline.
type Receipt struct {
	Index      int64    `json:"index"`
	Entry      string   `json:"entry"`      // the exact bytes of the entry, a line of JSON
	Checkpoint string   `json:"checkpoint"` // C2SP tlog-checkpoint, a signed note
	Proof      []string `json:"proof"`      // base64 SHA-256 hashes, RFC 6962 audit path
}

// SignatureList is the answer of GET /v1/signatures, newest first.
type SignatureList struct {
	Signatures []Signature `json:"signatures"`
	// Next is the value for ?before= that gives the next page; 0: no more.
	Next int64 `json:"next,omitempty"`
}

// Progress is how many of a request's signatures are made.
type Progress struct {
	Signed int `json:"signed"`
	Total  int `json:"total"`
}

// Key is the answer of GET /v1/keys/{name}.
type Key struct {
	Name           string   `json:"name"`
	URI            string   `json:"uri"` // of the preferred replica; without anything secret
	Apps           []string `json:"apps"`
	OnlyOnRequest  bool     `json:"only_on_request,omitempty"` // signs only for requests that name it
	KeyID          string   `json:"key_id"`
	Fingerprint    string   `json:"fingerprint"` // "SHA256:" and hex, over the PKCS#1 DER
	PublicKey      string   `json:"public_key"`  // PKCS#1 PEM, as an app carries it
	CustodyDemand  string   `json:"custody_demanded"`
	Custody        *Custody `json:"custody,omitempty"` // absent while it could not be checked
	State          string   `json:"state"`             // "unchecked", "ok", "paused", "unavailable", "unusable", "disabled", "quarantined"
	Detail         string   `json:"detail,omitempty"`  // why it is not ok, or not where it is preferred, and what to do
	LastCheckedAt  string   `json:"last_checked_at,omitempty"`
	WaitingInQueue int      `json:"waiting"` // requests that wait for this key
	// Replicas are the places where the private key is, in the order of preference.
	Replicas []Replica `json:"replicas"`
}

// Replica is one place where a private key is.
type Replica struct {
	URI           string   `json:"uri"`
	State         string   `json:"state"` // as that of a key, but never "disabled" or "quarantined"
	Detail        string   `json:"detail,omitempty"`
	InUse         bool     `json:"in_use"` // the next signature is asked for here
	Custody       *Custody `json:"custody,omitempty"`
	LastCheckedAt string   `json:"last_checked_at,omitempty"`
}

// KeyList is the answer of GET /v1/keys.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// Status is the answer of GET /v1/status.
type Status struct {
	State     string    `json:"state"` // "ok" or "degraded"
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Parts     []Part    `json:"parts"`
	Policy    string    `json:"policy_hash"`
	LogSize   int64     `json:"log_size"`
	LogKey    string    `json:"log_key"` // verifier key of the log (golang.org/x/mod/sumdb/note)
}

// Part is the health of one part of the daemon.
type Part struct {
	Name   string `json:"name"` // "store", "clock", "key acme-shop", ...
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// LogEntry is the answer of GET /v1/log/entries/{index}.
type LogEntry struct {
	Receipt
}

// LogEntries is the answer of GET /v1/log/entries: the entries from index From
// on, at most 256 of them.
type LogEntries struct {
	From    int64    `json:"from"`
	Entries []string `json:"entries"` // each the exact bytes of an entry, a line of JSON
}

// LogProof is the answer of GET /v1/log/proof: of inclusion with ?index= and
// ?size=, of consistency with ?from= and ?size=.
type LogProof struct {
	Index *int64   `json:"index,omitempty"`
	From  *int64   `json:"from,omitempty"`
	Size  int64    `json:"size"`
	Proof []string `json:"proof"`
}

// Problem is every answer that is not a success (RFC 9457).
type Problem struct {
	Type   string `json:"type"` // one of the Problem... constants
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Field is the member of the request at fault, as a JSON Pointer.
	Field string `json:"field,omitempty"`
	// RequestID, Rule and PolicyHash are there when a request was recorded.
	RequestID  string `json:"request_id,omitempty"`
	State      string `json:"state,omitempty"`
	Rule       string `json:"rule,omitempty"`
	PolicyHash string `json:"policy_hash,omitempty"`
	// RetryAfter is the Retry-After header in seconds, if trying again can help.
	RetryAfter int `json:"retry_after,omitempty"`
}

// Error makes a Problem an error.
func (p *Problem) Error() string { return p.Detail }

// The types of problem. They are stable: programs may compare them.
const (
	problemPrefix = "urn:bundlesign:problem:"

	ProblemInvalidBody    = problemPrefix + "invalid-body"         // 400: not the JSON that was expected
	ProblemInvalidField   = problemPrefix + "invalid-field"        // 422: a field's value is wrong
	ProblemBodyTooLarge   = problemPrefix + "body-too-large"       // 413
	ProblemMediaType      = problemPrefix + "media-type"           // 415
	ProblemNotFound       = problemPrefix + "not-found"            // 404
	ProblemMethod         = problemPrefix + "method-not-allowed"   // 405
	ProblemDenied         = problemPrefix + "denied"               // 403: by policy
	ProblemForbidden      = problemPrefix + "forbidden"            // 403: not yours to do
	ProblemApproval       = problemPrefix + "approval-refused"     // 403: an approval, rejection or thaw does not count
	ProblemNoKey          = problemPrefix + "no-key"               // 422: no key signs for this app
	ProblemConflict       = problemPrefix + "conflict"             // 409: the request is in another state
	ProblemKeyReuse       = problemPrefix + "idempotency-key-used" // 422: with another body
	ProblemTooMany        = problemPrefix + "too-many-requests"    // 429: limits of the peer
	ProblemBusy           = problemPrefix + "busy"                 // 503: the key's queue is full
	ProblemKeyUnavailable = problemPrefix + "key-unavailable"      // 503: the backend cannot be reached
	ProblemKeyUnusable    = problemPrefix + "key-unusable"         // 503: an operator must act
	ProblemStore          = problemPrefix + "state-not-writable"   // 503: e.g. disk full
	ProblemClock          = problemPrefix + "clock"                // 503: clock behind the log
	ProblemPeer           = problemPrefix + "caller-unknown"       // 503: the caller's names cannot be looked up
	ProblemToken          = problemPrefix + "token-refused"        // 401: the token that came with the request is not good
	ProblemTokenIssuer    = problemPrefix + "token-issuer"         // 503: the token cannot be checked now
	ProblemStopping       = problemPrefix + "stopping"             // 503: the daemon is going down
	ProblemFailed         = problemPrefix + "failed"               // 500: the request could not be signed
	ProblemInternal       = problemPrefix + "internal"             // 500
)

// Problems lists all types of problem.
func Problems() []string {
	return []string{
		ProblemInvalidBody, ProblemInvalidField, ProblemBodyTooLarge, ProblemMediaType, ProblemNotFound,
		ProblemMethod, ProblemDenied, ProblemForbidden, ProblemApproval, ProblemNoKey, ProblemConflict, ProblemKeyReuse,
		ProblemTooMany, ProblemBusy, ProblemKeyUnavailable, ProblemKeyUnusable, ProblemStore, ProblemClock,
		ProblemPeer, ProblemToken, ProblemTokenIssuer, ProblemStopping, ProblemFailed, ProblemInternal,
	}
}
