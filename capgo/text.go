package capgo

import (
	"encoding/base64"
	"fmt"
)

// MarshalText returns the 64 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDigest] reads.
func (d *Digest) UnmarshalText(b []byte) error {
	p, err := ParseDigest(string(b))
	if err != nil {
		return err
	}
	*d = p
	return nil
}

// MarshalText returns the signature in base64.
func (s Signature) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, s[:]), nil
}

// UnmarshalText reads base64 of exactly 256 bytes.
func (s *Signature) UnmarshalText(b []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(b))
	if err != nil {
		return fmt.Errorf("signature: found text that is not base64")
	}
	p, err := NewSignature(raw)
	if err != nil {
		return err
	}
	*s = p
	return nil
}

// MarshalText returns the form on the wire, see [WrappedKey.String].
func (w WrappedKey) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what [ParseWrappedKey] reads.
func (w *WrappedKey) UnmarshalText(b []byte) error {
	p, err := ParseWrappedKey(string(b))
	if err != nil {
		return err
	}
	*w = p
	return nil
}
