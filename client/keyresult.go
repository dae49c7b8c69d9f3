package client

import (
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
)

// wanted is the result that was asked of one key.
type wanted struct {
	part   string // of the answer: "" or "also[0]."
	key    string // name; "" for the one that signs for requests that name none
	format string // "" is hex
	pinned *capgo.PublicKey
}

// checked is the result of one key with what the log must say of it.
type checked struct {
	SignedBy
	format   capgo.ChecksumFormat
	checksum capgo.Signature
}

// checkResults checks the results of all keys, the first one first. None may be
// missing, and none may be by the key of another: no app would take it.
func checkResults(answer *wire.Signature, expect Expect, digest capgo.Digest) ([]checked, error) {
	asked := expect.Submit
	if len(answer.Also) != len(asked.Also) {
		return nil, untrusted("also", "found results of %d further keys, asked for %d", len(answer.Also), len(asked.Also))
	}
	if len(expect.AlsoKeys) > len(asked.Also) {
		return nil, fmt.Errorf("public keys: found %d for further keys, and asked for %d of those", len(expect.AlsoKeys), len(asked.Also))
	}
	found := append([]wire.KeyResult{{
		Key: answer.Key, PublicKey: answer.PublicKey, ChecksumFormat: answer.ChecksumFormat,
		Checksum: answer.Checksum, SessionKey: answer.SessionKey, Files: answer.Files,
	}}, answer.Also...)
	want := []wanted{{key: asked.Key, format: asked.ChecksumFormat, pinned: expect.PublicKey}}
	for i, also := range asked.Also {
		w := wanted{part: fmt.Sprintf("also[%d].", i), key: also.Key, format: also.ChecksumFormat}
		if w.format == "" {
			w.format = asked.ChecksumFormat
		}
		if i < len(expect.AlsoKeys) {
			w.pinned = expect.AlsoKeys[i]
		}
		want = append(want, w)
	}
	var out []checked
	for i, w := range want {
		c, err := w.check(&found[i], asked.Files, digest)
		if err != nil {
			return nil, err
		}
		for j, other := range out {
			if c.PublicKey.Equal(other.PublicKey) {
				return nil, untrusted(w.part+"public_key", "found the key %s, which is that of %spublic_key, asked for different keys", c.PublicKey.Fingerprint(), want[j].part)
			}
		}
		out = append(out, *c)
	}
	return out, nil
}

// check holds the result of one key against what was asked of it.
func (w *wanted) check(found *wire.KeyResult, files []wire.SubmitFile, digest capgo.Digest) (c *checked, err error) {
	c = &checked{format: capgo.FormatHex}
	if w.format != "" {
		if c.format, err = capgo.ParseChecksumFormat(w.format); err != nil {
			return nil, fmt.Errorf("%schecksum format: %w", w.part, err)
		}
	}
	if w.key != "" && found.Key != w.key {
		return nil, untrusted(w.part+"key", "found %s, asked for %s", quote(found.Key), quote(w.key))
	}
	if found.ChecksumFormat != string(c.format) {
		return nil, untrusted(w.part+"checksum_format", "found %s, asked for %s", quote(found.ChecksumFormat), quote(string(c.format)))
	}
	if c.PublicKey, err = w.answeredKey(found); err != nil {
		return nil, err
	}
	var form capgo.ChecksumFormat
	if c.checksum, form, err = capgo.ParseChecksum(found.Checksum); err != nil {
		return nil, &UntrustedError{w.part + "checksum", err}
	}
	if form != c.format {
		return nil, untrusted(w.part+"checksum", "found the %s form, asked for %s", form, c.format)
	}
	if err := verify(c.PublicKey, digest, c.format, c.checksum); err != nil {
		return nil, &UntrustedError{w.part + "checksum", err}
	}
	c.Checksum = c.checksum.Checksum(c.format)
	if c.Wrapped, err = capgo.ParseWrappedKey(found.SessionKey); err != nil {
		return nil, &UntrustedError{w.part + "session_key", err}
	}
	if err := c.PublicKey.Verify(capgo.SessionKeyPayload(), c.Wrapped.Wrapped); err != nil {
		return nil, &UntrustedError{w.part + "session_key", err}
	}
	c.Files, err = w.checkFiles(c.PublicKey, files, found.Files, c.format)
	return c, err
}

// answeredKey returns the key of a result, which must be the pinned one.
func (w *wanted) answeredKey(found *wire.KeyResult) (*capgo.PublicKey, error) {
	key, err := capgo.ParsePublicKeyPEM([]byte(found.PublicKey))
	if err != nil {
		return nil, &UntrustedError{w.part + "public_key", err}
	}
	if w.pinned != nil && !w.pinned.Equal(key) {
		return nil, untrusted(w.part+"public_key", "found the key %s, but the app has %s", key.Fingerprint(), w.pinned.Fingerprint())
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

func (w *wanted) checkFiles(key *capgo.PublicKey, asked []wire.SubmitFile, found []wire.File, format capgo.ChecksumFormat) ([]capgo.Signature, error) {
	if len(found) != len(asked) {
		return nil, untrusted(w.part+"files", "found %d files, asked for %d", len(found), len(asked))
	}
	sigs := make([]capgo.Signature, 0, len(asked))
	for i, f := range found {
		part := fmt.Sprintf("%sfiles[%d]", w.part, i)
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
