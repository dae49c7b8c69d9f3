package main

import (
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// check is one thing that verify looked at.
type check struct {
	Name   string `json:"name"`
	Result string `json:"result"` // "ok", "FAILED" or "not checked"
	Detail string `json:"detail"`
}

const (
	checkOK      = "ok"
	checkFailed  = "FAILED"
	checkSkipped = "not checked"
)

// report is the outcome of verify.
type report struct {
	Checks []check              `json:"checks"`
	KeyID  string               `json:"keyId"`
	Digest string               `json:"digest,omitempty"` // of the plain bundle
	Size   int64                `json:"size,omitempty"`   // of the plain bundle, in bytes
	Format capgo.ChecksumFormat `json:"checksumFormat,omitempty"`
	Output string               `json:"output,omitempty"`

	key *capgo.PublicKey
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

// expected compares the digest with the one that the user knows.
func (r *report) expected(v *capgo.Verified, want capgo.Digest) {
	const name = "expected_digest"
	switch {
	case v == nil:
		r.add(name, checkSkipped, "an earlier check failed")
	case v.Digest != want:
		r.add(name, checkFailed, "the bundle's SHA-256 is %s, want %s", v.Digest, want)
	default:
		r.add(name, checkOK, "the SHA-256 is the expected one")
	}
}

// log checks the receipt of the result, if it has one, and that it is about this
// bundle.
func (r *report) log(v *verification, verified *capgo.Verified) {
	const name = "log"
	if v.result.Log == nil {
		if v.logKey != nil {
			r.add(name, checkFailed, "the result has no log receipt")
		}
		return
	}
	if verified == nil {
		r.add(name, checkSkipped, "an earlier check failed")
		return
	}
	receipt, err := client.ParseReceipt(v.result.Log)
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	leaf, err := client.VerifyReceipt(receipt, v.logKey)
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	// Both were read before by the checks of the phone.
	checksum, _, err := capgo.ParseChecksum(v.result.Checksum)
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	wrapped, err := capgo.ParseWrappedKey(v.result.IVSessionKey)
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	recorded := client.Recorded{
		Request: v.result.RequestID, Digest: verified.Digest, Format: verified.Format,
		Key: v.key, Checksum: checksum, SessionKey: wrapped.Wrapped,
	}
	if err := recorded.Check(leaf); err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	by := "whose signature was not checked: no --log-key"
	if v.logKey != nil {
		by = "signed by " + v.logKey.Name()
	}
	r.add(name, checkOK, "entry %d records %s %s for channel %s; checkpoint %s", receipt.Index, leaf.AppID, leaf.Release, leaf.Channel, by)
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
	switch capgo.Check(name) {
	case capgo.CheckSessionKey, capgo.CheckSignature:
		return "is this the public key of the app, and do the values belong to this bundle?"
	case capgo.CheckDecrypt:
		return "does the session key belong to this bundle, and was the bundle downloaded whole?"
	case capgo.CheckDigest:
		return "a phone would refuse this bundle and report checksum_fail"
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
