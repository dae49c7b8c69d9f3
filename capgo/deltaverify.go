package capgo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// The further checks of [VerifyFile].
const (
	CheckFileName Check = "file_name" // the file stays in the app's folder
	CheckBrotli   Check = "brotli"    // a file called ".br" decompresses
	CheckSize     Check = "size"      // the plain file is not larger than the caller allows
)

// VerifyFile does what a phone does with one downloaded file of a delta update:
// look at its name, open its hash, unwrap the session key, decrypt, decompress if
// its file_name ends in ".br", and compare the hash with the SHA-256 of what came
// out. The plain file is written to plain, which must be thrown away on error;
// nil discards it. More than limit plain bytes are not written but fail CheckSize.
// A failed check is a [*CheckError]; other errors are of stored and plain.
//
// That a file is good says nothing about its name: the hash binds the content
// alone. Whoever can change the manifest can give a signed file another name, or
// leave it out, and phones do not see it. Compare with what was to be signed.
func VerifyFile(key *PublicKey, stored io.Reader, e ManifestEntry, sessionKey string, plain io.Writer, limit int64) (*Verified, error) {
	if plain == nil {
		plain = io.Discard
	}
	if err := ValidFileName(e.FileName); err != nil {
		return nil, &CheckError{CheckFileName, err}
	}
	signed, format, err := openChecksum(key, e.FileHash)
	if err != nil {
		return nil, &CheckError{CheckSignature, err}
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
	var size int64
	if _, compressed := e.Target(); compressed {
		size, err = unseal(io.MultiWriter(hash, plain), stored, aesKey, wrapped.IV, limit)
	} else {
		size, err = Decrypt(&limitWriter{io.MultiWriter(hash, plain), limit}, stored, aesKey, wrapped.IV)
		err = failed(CheckDecrypt, err)
	}
	if err != nil {
		return nil, err
	}
	digest := Digest(hash.Sum(nil))
	if !signed.is(digest) {
		return nil, &CheckError{CheckDigest, fmt.Errorf("the file's SHA-256 is %s, and that is not what was signed", digest)}
	}
	return &Verified{digest, size, format}, nil
}

// failed makes a failed check of err, unless it is about source or target.
func failed(check Check, err error) error {
	outside := new(ioError)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTooLarge):
		return &CheckError{CheckSize, ErrTooLarge}
	case errors.As(err, &outside):
		return err // a full disk is not a forged file
	}
	return &CheckError{check, err}
}

// errNoMore ends a decryption of which nothing more is wanted.
var errNoMore = errors.New("no more is wanted")

// unseal decrypts and decompresses. Like a phone, which does one after the other,
// it tells of bad encryption first: bytes that the wrong key made are bad Brotli,
// too.
func unseal(dst io.Writer, stored io.Reader, key *SessionKey, iv IV, limit int64) (int64, error) {
	compressed, decrypted := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Decrypt(decrypted, stored, key, iv)
		_ = decrypted.CloseWithError(err) // never fails
		done <- err
	}()
	size, err := Unbrotli(dst, compressed, limit)
	outside := new(ioError)
	if err != nil && !errors.As(err, &outside) && !errors.Is(err, ErrTooLarge) {
		_, _ = io.Copy(io.Discard, compressed) // to its end, which tells if it was decrypted well
	}
	_ = compressed.CloseWithError(errNoMore) // never fails
	if bad := <-done; bad != nil && !errors.Is(bad, errNoMore) {
		return size, failed(CheckDecrypt, bad)
	}
	return size, failed(CheckBrotli, err)
}

// opened is the inside of a checksum: what it says a digest is.
type opened struct {
	payload []byte
	format  ChecksumFormat
}

// openChecksum opens a signed checksum of either form.
func openChecksum(key *PublicKey, checksum string) (opened, ChecksumFormat, error) {
	sig, format, err := ParseChecksum(checksum)
	if err != nil {
		return opened{}, "", err
	}
	payload, err := key.Recover(sig)
	if err != nil {
		return opened{}, "", err
	}
	want := len(Digest{})
	if format == FormatLegacy {
		want = len(Digest{}.legacyBytes())
	}
	if len(payload) != want {
		return opened{}, "", fmt.Errorf("found %d bytes inside the checksum, want %d", len(payload), want)
	}
	return opened{payload, format}, format, nil
}

// is reports whether d is what was signed.
func (o opened) is(d Digest) bool {
	want := d[:]
	if o.format == FormatLegacy {
		want = d.legacyBytes()
	}
	return string(o.payload) == string(want)
}
