package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
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
	name string // of the zip, or of the folder that it was packed from
}

// openBundle opens a regular file that is not empty.
func openBundle(name string) (*bundle, error) {
	// Before opening: to open a pipe would wait for its other end.
	info, err := os.Stat(name)
	if err != nil {
		return nil, bundleError(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &inputError{err: fmt.Errorf("%s is no regular file, want a folder, or the zip of a bundle", name)}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, bundleError(name, err)
	}
	if info, err = f.Stat(); err == nil && info.Size() == 0 {
		err = &inputError{
			err:  fmt.Errorf("%s: %w", name, capgo.ErrEmpty),
			hint: "name the folder that was built, or make the zip with: bundlesign pack DIR --output app.zip",
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

// isZip reports whether the bundle begins as a zip does. What is none is signed
// too, with a warning: what is signed is for the user to say.
func (b *bundle) isZip() (bool, error) {
	head := make([]byte, len(zipMagic))
	n, err := b.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading %s: %w", b.name, err)
	}
	magic := string(head[:n])
	return magic == zipMagic || magic == emptyZipMagic, nil
}

// noZip is the warning about a bundle that is no zip.
func (b *bundle) noZip() string {
	if strings.HasSuffix(b.name, encryptedSuffix) {
		return fmt.Sprintf("%s is not a zip: phones will refuse it; by its name it is encrypted already: sign the zip that it was made from", b.name)
	}
	return fmt.Sprintf("%s is not a zip: phones will refuse it", b.name)
}

// hash reads the whole bundle.
func (b *bundle) hash(ctx context.Context, progress func(int64)) (capgo.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, &countingReader{b.fromStart(ctx), progress}); err != nil {
		return capgo.Digest{}, fmt.Errorf("reading %s: %w", b.name, err)
	}
	return capgo.Digest(h.Sum(nil)), nil
}

// encryptTo writes the bundle, encrypted, to a file that has not got its name,
// target, yet, and returns the number of plain bytes. It fails if these do not have
// the digest any more that was signed.
func (b *bundle) encryptTo(ctx context.Context, target string, signed capgo.Digest, key *capgo.SessionKey, iv capgo.IV, progress func(int64)) (_ *outfile.File, size int64, err error) {
	out, err := outfile.Create(target)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			out.Discard()
		}
	}()
	h := newSideHash(sha256.New())
	size, err = capgo.Encrypt(out, io.TeeReader(&countingReader{b.fromStart(ctx), progress}, h), key, iv)
	found := capgo.Digest(h.Sum())
	if err != nil {
		return nil, 0, fmt.Errorf("%s was not written: %w", target, err)
	}
	if found != signed {
		return nil, 0, &inputError{
			err:  fmt.Errorf("%s changed while it was being signed: its SHA-256 was %s and is %s now; %s was not written", b.name, signed, found, target),
			hint: "let the build finish before signing, then sign again",
		}
	}
	if err := out.Sync(); err != nil {
		return nil, 0, fmt.Errorf("%s was not written: %w", target, err)
	}
	return out, size, nil
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

// countingReader tells how much was read.
type countingReader struct {
	r    io.Reader
	tell func(int64)
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.tell(int64(n))
	return n, err
}

// sideHash hashes what is written to it on another processor than the writer's, so
// that hashing and encryption of the same bytes overlap.
type sideHash struct {
	work chan []byte
	free chan []byte
	sum  chan []byte
}

// sideBuffers is how many pieces may wait to be hashed.
const sideBuffers = 4

func newSideHash(h hash.Hash) *sideHash {
	s := &sideHash{make(chan []byte, sideBuffers), make(chan []byte, sideBuffers), make(chan []byte, 1)}
	for range sideBuffers {
		s.free <- nil
	}
	go func() {
		for p := range s.work {
			h.Write(p)
			s.free <- p
		}
		s.sum <- h.Sum(nil)
	}()
	return s
}

// Write takes a copy of p. It never fails.
func (s *sideHash) Write(p []byte) (int, error) {
	s.work <- append((<-s.free)[:0], p...)
	return len(p), nil
}

// Sum returns the hash of all that was written. Nothing may be written after it.
func (s *sideHash) Sum() []byte {
	close(s.work)
	return <-s.sum
}
