package capgo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Check is one of the things a phone checks before it installs an update.
type Check string

// The checks, in the order of a phone.
const (
	CheckSessionKey Check = "session_key" // the AES key unwraps to 16 bytes
	CheckDecrypt    Check = "decrypt"     // AES-128-CBC, PKCS#7
	CheckSignature  Check = "signature"   // the checksum was made by the app's key
	CheckDigest     Check = "digest"      // the bundle is the one that was signed
)

// CheckError says which check of [VerifyBundle] an update did not pass.
type CheckError struct {
	Check Check
	Err   error
}

func (e *CheckError) Error() string { return fmt.Sprintf("%s: %v", e.Check, e.Err) }

func (e *CheckError) Unwrap() error { return e.Err }

// Verified is what [VerifyBundle] found out about an update that is good.
type Verified struct {
	Digest Digest         // SHA-256 of the plain bundle
	Size   int64          // plain bytes
	Format ChecksumFormat // the form of the checksum
}

// VerifyBundle does what a phone does with a downloaded update, in the same
// order: unwrap the session key, decrypt, open the checksum, compare it with the
// SHA-256 of what came out. The plain bundle is written to plain, which must be
// thrown away on error; nil discards it. A failed check is a [*CheckError];
// other errors are of src and plain.
func VerifyBundle(key *PublicKey, encrypted io.Reader, checksum, sessionKey string, plain io.Writer) (*Verified, error) {
	if plain == nil {
		plain = io.Discard
	}
	wrapped, err := ParseWrappedKey(sessionKey)
	if err != nil {
		return nil, &CheckError{CheckSessionKey, err}
	}
	aesKey, err := key.Unwrap(wrapped)
	if err != nil {
		return nil, &CheckError{CheckSessionKey, err}
	}
	defer aesKey.Forget()

	hash := sha256.New()
	size, err := Decrypt(io.MultiWriter(hash, plain), encrypted, aesKey, wrapped.IV)
	if outside := new(ioError); errors.As(err, &outside) {
		return nil, err // a full disk is not a forged bundle
	}
	if err != nil {
		return nil, &CheckError{CheckDecrypt, err}
	}
	digest := Digest(hash.Sum(nil))

	sig, format, err := ParseChecksum(checksum)
	if err != nil {
		return nil, &CheckError{CheckSignature, err}
	}
	signed, err := key.Recover(sig)
	if err != nil {
		return nil, &CheckError{CheckSignature, err}
	}
	want := digest[:]
	if format == FormatLegacy {
		want = digest.legacyBytes()
	}
	if len(signed) != len(want) {
		return nil, &CheckError{CheckSignature, fmt.Errorf("found %d bytes inside the checksum, want %d", len(signed), len(want))}
	}
	if !bytes.Equal(signed, want) {
		return nil, &CheckError{CheckDigest, fmt.Errorf("the bundle's SHA-256 is %s, and that is not what was signed", digest)}
	}
	return &Verified{digest, size, format}, nil
}
