package client

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
)

// UntrustedError says that an answer contradicts what was asked, the app's
// public key or the audit log. Nothing of the answer is to be used.
type UntrustedError struct {
	Part string // of the answer: "checksum", "session_key", "log", ...
	Err  error
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("the daemon's answer is not to be trusted: %s: %v", e.Part, e.Err)
}

func (e *UntrustedError) Unwrap() error { return e.Err }

func untrusted(part, format string, args ...any) error {
	return &UntrustedError{part, fmt.Errorf(format, args...)}
}

// Expect is what an answer is held against.
type Expect struct {
	// Submit is what was asked.
	Submit *wire.Submit
	// PublicKey is the key of the app. If it is nil, the answer's own is taken,
	// and all that is known is that the answer fits itself.
	PublicKey *capgo.PublicKey
	// AlsoKeys are the keys that apps carry for the further results, in the order
	// of Submit.Also. One that is nil or left out is as PublicKey is if that is nil.
	AlsoKeys []*capgo.PublicKey
	// LogKey checks the signature on the log's checkpoint. If it is nil, the
	// receipt is only held against the checkpoint that came with it.
	LogKey note.Verifier
}

// Signed is a signed request whose parts have all been checked.
type Signed struct {
	PublicKey *capgo.PublicKey
	Checksum  string // as the update server sends it
	Wrapped   capgo.WrappedKey
	Files     []capgo.Signature // in the order of the submission
	Receipt   *audit.Receipt
	Leaf      *audit.Leaf // what Receipt.Entry says
	// Also are the results by further keys, in the order of the submission.
	Also []SignedBy
}

// SignedBy is the result by one further key, checked as the first one is.
type SignedBy struct {
	PublicKey *capgo.PublicKey
	Checksum  string // as the update server sends it
	Wrapped   capgo.WrappedKey
	Files     []capgo.Signature // in the order of the submission
}

// CheckSigned checks the answer to a submission before any of it is used: that it
// is about what was asked; that checksum, session key and file hashes were made
// by the expected key over the expected digests, for each key that was asked for; and
// that the log has an entry that says the same. Every failure is an
// [*UntrustedError].
func CheckSigned(answer *wire.Signature, expect Expect) (*Signed, error) {
	asked := expect.Submit
	digest, err := capgo.ParseDigest(asked.Digest)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	for _, f := range []struct{ part, found, want string }{
		{"state", answer.State, StateSigned},
		{"app_id", answer.AppID, asked.AppID},
		{"channel", answer.Channel, asked.Channel},
		{"version", answer.Version, asked.Version},
		{"digest", strings.ToLower(answer.Digest), digest.String()},
	} {
		if f.found != f.want {
			return nil, untrusted(f.part, "found %s, asked for %s", quote(f.found), quote(f.want))
		}
	}
	results, err := checkResults(answer, expect, digest)
	if err != nil {
		return nil, err
	}
	receipt, leaf, err := checkReceipt(answer, expect.LogKey)
	if err != nil {
		return nil, err
	}
	recorded := make([]Recorded, 0, len(results))
	for _, r := range results {
		recorded = append(recorded, Recorded{
			Request: answer.ID, AppID: answer.AppID, Channel: answer.Channel, Version: answer.Version, Digest: digest,
			Format: r.format, Key: r.PublicKey, Checksum: r.checksum, SessionKey: r.Wrapped.Wrapped, Files: r.Files,
		})
	}
	if err := checkLeaf(leaf, recorded); err != nil {
		return nil, &UntrustedError{"log", err}
	}
	first := results[0].SignedBy
	s := &Signed{
		PublicKey: first.PublicKey, Checksum: first.Checksum, Wrapped: first.Wrapped, Files: first.Files,
		Receipt: receipt, Leaf: leaf,
	}
	for _, r := range results[1:] {
		s.Also = append(s.Also, r.SignedBy)
	}
	return s, nil
}

func checkReceipt(answer *wire.Signature, logKey note.Verifier) (*audit.Receipt, *audit.Leaf, error) {
	if answer.Log == nil {
		return nil, nil, untrusted("log", "found no receipt, want the proof that the signature is in the audit log")
	}
	receipt, err := ParseReceipt(answer.Log)
	if err != nil {
		return nil, nil, &UntrustedError{"log", err}
	}
	leaf, err := VerifyReceipt(receipt, logKey)
	if err != nil {
		return nil, nil, &UntrustedError{"log", err}
	}
	return receipt, leaf, nil
}
