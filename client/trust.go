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
}

// CheckSigned checks the answer to a submission before any of it is used: that it
// is about what was asked; that checksum, session key and file hashes were made
// by the expected key over the expected digests; and that the log has an entry
// that says the same. Every failure is an [*UntrustedError].
func CheckSigned(answer *wire.Signature, expect Expect) (*Signed, error) {
	asked := expect.Submit
	digest, err := capgo.ParseDigest(asked.Digest)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	format := capgo.FormatHex
	if asked.ChecksumFormat != "" {
		if format, err = capgo.ParseChecksumFormat(asked.ChecksumFormat); err != nil {
			return nil, fmt.Errorf("checksum format: %w", err)
		}
	}
	for _, f := range []struct{ part, found, want string }{
		{"state", answer.State, StateSigned},
		{"app_id", answer.AppID, asked.AppID},
		{"channel", answer.Channel, asked.Channel},
		{"version", answer.Version, asked.Version},
		{"digest", strings.ToLower(answer.Digest), digest.String()},
		{"checksum_format", answer.ChecksumFormat, string(format)},
	} {
		if f.found != f.want {
			return nil, untrusted(f.part, "found %s, asked for %s", quote(f.found), quote(f.want))
		}
	}
	s := new(Signed)
	if s.PublicKey, err = answeredKey(answer, expect.PublicKey); err != nil {
		return nil, err
	}
	checksum, found, err := capgo.ParseChecksum(answer.Checksum)
	if err != nil {
		return nil, &UntrustedError{"checksum", err}
	}
	if found != format {
		return nil, untrusted("checksum", "found the %s form, asked for %s", found, format)
	}
	if err := verify(s.PublicKey, digest, format, checksum); err != nil {
		return nil, &UntrustedError{"checksum", err}
	}
	s.Checksum = checksum.Checksum(format)
	if s.Wrapped, err = capgo.ParseWrappedKey(answer.SessionKey); err != nil {
		return nil, &UntrustedError{"session_key", err}
	}
	if err := s.PublicKey.Verify(capgo.SessionKeyPayload(), s.Wrapped.Wrapped); err != nil {
		return nil, &UntrustedError{"session_key", err}
	}
	if s.Files, err = checkFiles(s.PublicKey, asked.Files, answer.Files, format); err != nil {
		return nil, err
	}
	if s.Receipt, s.Leaf, err = checkReceipt(answer, expect.LogKey); err != nil {
		return nil, err
	}
	recorded := Recorded{
		Request: answer.ID, AppID: answer.AppID, Channel: answer.Channel, Version: answer.Version,
		Digest: digest, Format: format, Key: s.PublicKey,
		Checksum: checksum, SessionKey: s.Wrapped.Wrapped, Files: s.Files,
	}
	if err := recorded.Check(s.Leaf); err != nil {
		return nil, &UntrustedError{"log", err}
	}
	return s, nil
}

// answeredKey returns the key of an answer, which must be the pinned one.
func answeredKey(answer *wire.Signature, pinned *capgo.PublicKey) (*capgo.PublicKey, error) {
	key, err := capgo.ParsePublicKeyPEM([]byte(answer.PublicKey))
	if err != nil {
		return nil, &UntrustedError{"public_key", err}
	}
	if pinned != nil && !pinned.Equal(key) {
		return nil, untrusted("public_key", "found the key %s, but the app has %s", key.Fingerprint(), pinned.Fingerprint())
	}
	return key, nil
}

func verify(key *capgo.PublicKey, d capgo.Digest, f capgo.ChecksumFormat, sig capgo.Signature) error {
	payload, err := capgo.ChecksumPayload(d, f)
	if err != nil {
		return err
	}
	return key.Verify(payload, sig)
}

func checkFiles(key *capgo.PublicKey, asked []wire.SubmitFile, found []wire.File, format capgo.ChecksumFormat) ([]capgo.Signature, error) {
	if len(found) != len(asked) {
		return nil, untrusted("files", "found %d files, asked for %d", len(found), len(asked))
	}
	sigs := make([]capgo.Signature, 0, len(asked))
	for i, f := range found {
		part := fmt.Sprintf("files[%d]", i)
		if f.FileName != asked[i].FileName || !strings.EqualFold(f.Digest, asked[i].Digest) {
			return nil, untrusted(part, "found %s, asked for %s, or another digest", quote(f.FileName), quote(asked[i].FileName))
		}
		digest, err := capgo.ParseDigest(f.Digest)
		if err != nil {
			return nil, &UntrustedError{part, err}
		}
		sig, form, err := capgo.ParseChecksum(f.FileHash)
		if err != nil {
			return nil, &UntrustedError{part, err}
		}
		if form != format {
			return nil, untrusted(part, "found the %s form, asked for %s", form, format)
		}
		if err := verify(key, digest, format, sig); err != nil {
			return nil, &UntrustedError{part, err}
		}
		sigs = append(sigs, sig)
	}
	return sigs, nil
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
