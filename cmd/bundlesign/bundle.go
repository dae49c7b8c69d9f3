package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// bundle is a plain zip that is open for reading. It is read twice, once to hash
// it and once to encrypt it, and never held in memory.
type bundle struct {
	file *os.File
	name string
}

// openBundle opens a regular file that is not empty.
func openBundle(name string) (*bundle, error) {
	// Before opening: to open a pipe would wait for its other end.
	info, err := os.Stat(name)
	if err != nil {
		return nil, bundleError(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &inputError{err: fmt.Errorf("%s is no regular file, want the zip of a bundle", name)}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, bundleError(name, err)
	}
	if info, err = f.Stat(); err == nil && info.Size() == 0 {
		err = &inputError{
			err:  fmt.Errorf("%s: %w", name, capgo.ErrEmpty),
			hint: "make the zip with: npx @capgo/cli bundle zip APPID --path DIR --key-v2",
		}
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	return &bundle{f, name}, nil
}

func bundleError(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &inputError{err: fmt.Errorf("bundle %s: %w", name, err)}
}

func (b *bundle) Close() error { return b.file.Close() }

// The first bytes of a zip: those of its first file or, if it is empty, of its
// end (APPNOTE.TXT 4.3.7 and 4.3.16).
const (
	zipMagic      = "PK\x03\x04"
	emptyZipMagic = "PK\x05\x06"
)

// doubt says why a phone would refuse the bundle even when it is signed, or
// nothing. It is no error: what is signed is for the user to say.
func (b *bundle) doubt() (string, error) {
	head := make([]byte, len(zipMagic))
	if n, err := b.file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading %s: %w", b.name, err)
	} else if magic := string(head[:n]); magic == zipMagic || magic == emptyZipMagic {
		return "", nil
	}
	if strings.HasSuffix(b.name, encryptedSuffix) {
		return fmt.Sprintf("%s is not a zip: phones will refuse it; by its name it is encrypted already: sign the zip that it was made from", b.name), nil
	}
	return fmt.Sprintf("%s is not a zip: phones will refuse it", b.name), nil
}

// hash reads the whole bundle.
func (b *bundle) hash(ctx context.Context) (capgo.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, b.fromStart(ctx)); err != nil {
		return capgo.Digest{}, fmt.Errorf("reading %s: %w", b.name, err)
	}
	return capgo.Digest(h.Sum(nil)), nil
}

// encryptTo writes the bundle, encrypted, to target, which gets its name only if
// the plain bytes still have the digest that was signed. It returns their number.
func (b *bundle) encryptTo(ctx context.Context, target string, signed capgo.Digest, key *capgo.SessionKey, iv capgo.IV) (int64, error) {
	out, err := outfile.Create(target)
	if err != nil {
		return 0, err
	}
	defer out.Discard()
	h := sha256.New()
	size, err := capgo.Encrypt(out, io.TeeReader(b.fromStart(ctx), h), key, iv)
	if err != nil {
		return 0, fmt.Errorf("%s was not written: %w", target, err)
	}
	if found := capgo.Digest(h.Sum(nil)); found != signed {
		return 0, &inputError{
			err:  fmt.Errorf("%s changed while it was being signed: its SHA-256 was %s and is %s now; %s was not written", b.name, signed, found, target),
			hint: "let the build finish before signing, then sign again",
		}
	}
	if err := out.Commit(); err != nil {
		return 0, fmt.Errorf("%s was not written: %w", target, err)
	}
	return size, nil
}

func (b *bundle) fromStart(ctx context.Context) io.Reader {
	return &ctxReader{ctx, io.NewSectionReader(b.file, 0, 1<<62)}
}

// ctxReader stops reading when its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
