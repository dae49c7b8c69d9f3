package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// check is one thing that verify looked at.
type check struct {
	Name   string `json:"name"`
	Result string `json:"result"` // "ok", "FAILED", "warning" or "not checked"
	Detail string `json:"detail"`
}

const (
	checkOK      = "ok"
	checkFailed  = "FAILED"
	checkWarning = "warning"
	checkSkipped = "not checked"
)

// report is the outcome of verify.
type report struct {
	Checks []check              `json:"checks"`
	KeyID  string               `json:"keyId"`
	Digest string               `json:"digest,omitempty"` // of the plain bundle
	Size   int64                `json:"size,omitempty"`   // of the plain bundle, in bytes
	Files  int                  `json:"files,omitempty"`  // of a delta update
	Format capgo.ChecksumFormat `json:"checksumFormat,omitempty"`
	Output string               `json:"output,omitempty"`

	key *capgo.PublicKey
	// digest is that of the plain bundle or, where there is no zip, the one that was
	// signed; nil if neither is known to be good.
	digest *capgo.Digest
	// files are the plain files of a delta update that is good, in the manifest's
	// order; nil if there is none.
	files []plainFile
}

func (r *report) add(name, result, format string, args ...any) {
	r.Checks = append(r.Checks, check{name, result, fmt.Sprintf(format, args...)})
}

// phone reports the checks of a phone, in its order: those before the one that
// failed have passed, those after it were not made.
func (r *report) phone(v *capgo.Verified, failed *capgo.CheckError) {
	passed := map[capgo.Check]string{
		capgo.CheckSessionKey: "unwrapped with the key " + r.key.Fingerprint(),
		capgo.CheckDecrypt:    "AES-128-CBC, the padding is right",
		capgo.CheckSignature:  "the checksum was made by the app's key",
		capgo.CheckDigest:     "the bundle is what was signed",
	}
	if v != nil {
		r.Digest, r.Size, r.Format = v.Digest.String(), v.Size, v.Format
		r.digest = &v.Digest
		passed[capgo.CheckDecrypt] = fmt.Sprintf("AES-128-CBC, %d bytes", v.Size)
		passed[capgo.CheckSignature] = fmt.Sprintf("the checksum, in %s form, was made by the app's key", v.Format)
		passed[capgo.CheckDigest] = "the bundle is what was signed: SHA-256 " + r.Digest
	}
	result := checkOK
	for _, c := range []capgo.Check{capgo.CheckSessionKey, capgo.CheckDecrypt, capgo.CheckSignature, capgo.CheckDigest} {
		switch {
		case failed != nil && failed.Check == c:
			r.add(string(c), checkFailed, "%v", failed.Err)
			result = checkSkipped
		case result == checkSkipped:
			r.add(string(c), checkSkipped, "an earlier check failed")
		default:
			r.add(string(c), checkOK, "%s", passed[c])
		}
	}
}

// signed reports on the checksum of an update of which there is no zip: iOS opens
// it all the same, and the log has an entry about what is in it.
func (r *report) signed(v *verification) {
	const name = string(capgo.CheckSignature)
	if v.checksum == "" {
		return
	}
	digest, format, err := openChecksum(v.key, v.checksum)
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	r.digest, r.Format = &digest, format
	r.add(name, checkOK, "the checksum, in %s form, was made by the app's key, for a zip with the SHA-256 %s", format, digest)
}

// openChecksum returns the digest that a checksum was made for.
func openChecksum(key *capgo.PublicKey, checksum string) (capgo.Digest, capgo.ChecksumFormat, error) {
	sig, format, err := capgo.ParseChecksum(checksum)
	if err != nil {
		return capgo.Digest{}, "", err
	}
	signed, err := key.Recover(sig)
	if err != nil {
		return capgo.Digest{}, "", err
	}
	text := hex.EncodeToString(signed)
	if format == capgo.FormatLegacy {
		// Its payload is the digest's hex text, read as if it were base64.
		text = base64.StdEncoding.EncodeToString(signed)
	}
	digest, err := capgo.ParseDigest(text)
	if err != nil {
		return capgo.Digest{}, "", fmt.Errorf("inside of the checksum: %w", err)
	}
	return digest, format, nil
}

// sameAsResult compares an update.json with the result that it was made of.
func (r *report) sameAsResult(v *verification) {
	const name = "result"
	if v.result == nil {
		return
	}
	k := v.result.of(v.key)
	switch {
	case v.update.Checksum != k.Checksum:
		r.add(name, checkFailed, "update.json has another checksum than the result")
	case v.update.SessionKey != k.IVSessionKey:
		r.add(name, checkFailed, "update.json has another session_key than the result")
	case v.result.Version != "" && v.update.Version != v.result.Version:
		r.add(name, checkFailed, "update.json is version %s, and the result is of %s", v.update.Version, v.result.Version)
	default:
		r.add(name, checkOK, "update.json was made of the result")
	}
}

// expected compares the digest with the one that the user knows.
func (r *report) expected(want capgo.Digest) {
	const name = "expected_digest"
	switch {
	case r.digest == nil:
		r.add(name, checkSkipped, "an earlier check failed")
	case *r.digest != want:
		r.add(name, checkFailed, "the bundle's SHA-256 is %s, want %s", r.digest, want)
	default:
		r.add(name, checkOK, "the SHA-256 is the expected one")
	}
}

// failed returns the error for the first check that failed, or nil.
func (r *report) failed() error {
	for _, c := range r.Checks {
		if c.Result == checkFailed {
			return &verificationError{
				err:    fmt.Errorf("verification failed: %s: %s", c.Name, c.Detail),
				hint:   failureHint(c.Name),
				checks: r.Checks,
			}
		}
	}
	return nil
}

// failureHint says what usually causes a failure.
func failureHint(name string) string {
	switch name {
	case string(capgo.CheckSessionKey), string(capgo.CheckSignature):
		return "is this the public key of the app, and do the values belong to this bundle?"
	case string(capgo.CheckDecrypt):
		return "does the session key belong to this bundle, and was the bundle downloaded whole?"
	case string(capgo.CheckDigest):
		return "a phone would refuse this bundle and report checksum_fail"
	case checkZip, checkApp:
		return "what was signed is no app that phones can install: build, pack and sign it again"
	case checkObjects, checkFiles:
		return "phones would refuse the update; was all of it copied, and is it all of the same signature?"
	case checkNames:
		return "each file was signed, but not under this name: a phone would not notice; make the manifest again"
	}
	return ""
}

// String is the report for people.
func (r *report) String() string {
	var t table
	for _, c := range r.Checks {
		t.Row(c.Name, c.Result, c.Detail)
	}
	var out strings.Builder
	out.WriteString(t.String())
	if r.Output != "" {
		fmt.Fprintf(&out, "\nwritten %s\n", show.Printable(r.Output))
	}
	return out.String()
}
