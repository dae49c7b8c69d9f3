package capgo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// Digest is the SHA-256 of a plain (unencrypted) zip, or of one plain file of a
// delta update.
type Digest [sha256.Size]byte

// ParseDigest reads a SHA-256 in hexadecimal: exactly 64 digits. Upper case is
// accepted and means the same bytes; [Digest.String] is the normal form.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) {
		return Digest{}, fmt.Errorf("found %d characters, want the 64 hexadecimal digits of a SHA-256", len(s))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("found a character that is not a hexadecimal digit in %q, want the 64 digits of a SHA-256", s)
	}
	return d, nil
}

// String returns the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// legacyBytes is the 48 bytes that old updaters (before 5.30.0, 6.30.0 and
// 7.30.0) compare: the hex text of the digest, read as if it were base64. It is
// a historical quirk of the format. Every hex digit is also a base64 digit, so
// the decoding cannot fail.
func (d Digest) legacyBytes() []byte {
	b, err := base64.StdEncoding.DecodeString(d.String())
	if err != nil {
		panic("capgo: hexadecimal text is always valid base64: " + err.Error())
	}
	return b
}

// ChecksumFormat is the form of a signed checksum that an app's updater expects.
type ChecksumFormat string

const (
	// FormatHex is for updater 5.30.0, 6.30.0, 7.30.0 and later of those lines,
	// and for all of 8 and later: 32 bytes are signed, the result is lower-case hex.
	FormatHex ChecksumFormat = "hex"
	// FormatLegacy is for older updaters: 48 bytes derived from the digest are
	// signed, the result is base64.
	FormatLegacy ChecksumFormat = "legacy"
)

// ParseChecksumFormat reads "hex" or "legacy".
func ParseChecksumFormat(s string) (ChecksumFormat, error) {
	switch f := ChecksumFormat(s); f {
	case FormatHex, FormatLegacy:
		return f, nil
	}
	return "", fmt.Errorf("found %q, want %q or %q", s, FormatHex, FormatLegacy)
}
