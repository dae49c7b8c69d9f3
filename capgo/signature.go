package capgo

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// Signature is the result of one private-key operation: 256 bytes, big-endian.
type Signature [SignatureSize]byte

// NewSignature takes the bytes that a backend returned and refuses any other
// length than 256.
func NewSignature(b []byte) (Signature, error) {
	if len(b) != SignatureSize {
		return Signature{}, fmt.Errorf("found a signature of %d bytes, want %d", len(b), SignatureSize)
	}
	return Signature(b), nil
}

// Checksum returns the signature as the checksum of an update: lower-case hex
// (512 characters) or, in the legacy form, base64.
func (s Signature) Checksum(f ChecksumFormat) string {
	if f == FormatLegacy {
		return base64.StdEncoding.EncodeToString(s[:])
	}
	return hex.EncodeToString(s[:])
}

// ParseChecksum reads a signed checksum in either form and says which it was.
// What is not a signature at all gets a message of its own: an unsigned SHA-256
// and the CRC32 of the long-dead first format are common mistakes.
func ParseChecksum(s string) (Signature, ChecksumFormat, error) {
	switch len(s) {
	case 2 * SignatureSize:
		b, err := hex.DecodeString(s)
		if err != nil {
			return Signature{}, "", fmt.Errorf("checksum: found %d characters that are not all hexadecimal digits", len(s))
		}
		return Signature(b), FormatHex, nil
	case base64.StdEncoding.EncodedLen(SignatureSize):
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || len(b) != SignatureSize {
			return Signature{}, "", fmt.Errorf("checksum: found %d characters that are not base64 of a %d-byte signature", len(s), SignatureSize)
		}
		return Signature(b), FormatLegacy, nil
	case 64:
		return Signature{}, "", fmt.Errorf("checksum: found 64 characters, an unsigned SHA-256; want a signed checksum of 512 hexadecimal or 344 base64 characters")
	case 8:
		return Signature{}, "", fmt.Errorf("checksum: found 8 characters, a CRC32 of the discontinued first format; want a signed checksum of 512 hexadecimal or 344 base64 characters")
	}
	return Signature{}, "", fmt.Errorf("checksum: found %d characters, want 512 hexadecimal or 344 base64 characters", len(s))
}
