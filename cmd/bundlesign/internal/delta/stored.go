package delta

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
)

// inMemory is the size in bytes up to which a file is held in memory. Larger ones
// are read several times, and what Brotli makes of them goes to a temporary file.
const inMemory = 4 << 20

// A job is one content, and what is to become of it. Files of the same content
// share one job.
type job struct {
	file   source // one of them
	digest capgo.Digest
	form   form
	files  []int // of the plan
}

// form says how a content is stored.
type form int

const (
	byRule     form = iota // compressed if that is worth it
	plainly                // never compressed
	compressed             // always compressed: the name ends in .br
)

// formOf is the form for a file. Phones decompress whatever is called ".br", so
// that for such a file a wish not to is not heard.
func formOf(f Planned, noBrotli globs) form {
	switch {
	case strings.HasSuffix(f.Name, ".br"):
		return compressed
	case f.Size < capgo.BrotliMinSize || noBrotli.match(f.Name):
		return plainly
	}
	return byRule
}

// stored is what of a file is to be encrypted.
type stored struct {
	brotli bool
	// open starts to read it; the reader's error says so if it is not what was
	// planned.
	open func(context.Context) (io.ReadCloser, error)
	// discard frees what open reads.
	discard func()
}

// prepare reads a file, checks that it is what was planned, and compresses it.
// Temporary files go to the folder scratch.
func (c *compressor) prepare(ctx context.Context, j *job, scratch string, progress func(int64)) (*stored, error) {
	if j.file.Size > c.inMemory {
		return c.prepareLarge(ctx, j, scratch, progress)
	}
	var plain bytes.Buffer
	plain.Grow(int(j.file.Size) + bytes.MinRead)
	if err := j.read(ctx, &plain, progress); err != nil {
		return nil, err
	}
	if j.form == plainly {
		return inBytes(plain.Bytes(), false), nil
	}
	if j.form == byRule {
		s := newSampler(j.file.Size)
		_, _ = s.Write(plain.Bytes()) // fails only as hopeless does
		if hopeless, err := s.hopeless(); err != nil || hopeless {
			return inBytes(plain.Bytes(), false), err
		}
	}
	var out bytes.Buffer
	err := c.compress(ctx, &out, j.file.Size, func(w io.Writer) error {
		_, err := w.Write(plain.Bytes())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compressing %s: %w", j.file.Name, err)
	}
	good := undone(out.Bytes(), plain.Bytes())
	return j.choose(good, int64(out.Len()), inBytes(out.Bytes(), true), inBytes(plain.Bytes(), false))
}

// choose takes the compressed form if it is good and worth it, or if it must.
func (j *job) choose(good bool, size int64, small, plain *stored) (*stored, error) {
	worth := size < j.file.Size-capgo.BrotliMinGain
	switch {
	case j.form == compressed && !good:
		return nil, &NameError{fmt.Errorf("%.100q: phones decompress whatever ends in .br, and would not make of it what it is: give it another name", j.file.Name)}
	case j.form == compressed, good && worth:
		return small, nil
	}
	small.discard()
	return plain, nil
}

// read copies the file to dst and checks it.
func (j *job) read(ctx context.Context, dst io.Writer, progress func(int64)) error {
	h := sha256.New()
	if err := j.file.copyTo(ctx, io.MultiWriter(h, dst), progress); err != nil {
		return err
	}
	return j.check(capgo.Digest(h.Sum(nil)))
}

// check compares what was read with what was planned, and signed.
func (j *job) check(found capgo.Digest) error {
	if found != j.digest {
		return j.file.changed(fmt.Sprintf("its SHA-256 was %s and is %s now", j.digest, found))
	}
	return nil
}

func inBytes(b []byte, brotli bool) *stored {
	return &stored{
		brotli:  brotli,
		open:    func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
		discard: func() {},
	}
}

func (c *compressor) prepareLarge(ctx context.Context, j *job, scratch string, progress func(int64)) (*stored, error) {
	plain := j.again()
	s := newSampler(j.file.Size)
	if err := j.read(ctx, s, progress); err != nil {
		return nil, err
	}
	hopeless, err := s.hopeless()
	if err != nil || j.form == plainly || j.form == byRule && hopeless {
		return plain, err
	}
	out, err := createTemp(scratch)
	if err != nil {
		return nil, err
	}
	small := inFile(out)
	var size counter
	err = c.compress(ctx, io.MultiWriter(out, &size), j.file.Size, func(w io.Writer) error {
		return j.read(ctx, w, func(int64) {})
	})
	if err != nil {
		small.discard()
		return nil, fmt.Errorf("compressing %s: %w", j.file.Name, err)
	}
	h := sha256.New()
	n, err := capgo.Unbrotli(h, io.NewSectionReader(out, 0, int64(size)), j.file.Size)
	good := err == nil && n == j.file.Size && capgo.Digest(h.Sum(nil)) == j.digest
	return j.choose(good, int64(size), small, plain)
}

// inFile is what a temporary file holds, which is deleted here and now: the space
// is freed when it is closed, whatever becomes of this process.
func inFile(f *os.File) *stored {
	_ = os.Remove(f.Name()) // else it goes with its folder
	return &stored{
		brotli: true,
		open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f, 0, 1<<62)), nil
		},
		discard: func() { _ = f.Close() }, // nothing of it is wanted any more
	}
}

// again is the file itself, as it is. It is read, and so checked, each time.
func (j *job) again() *stored {
	return &stored{
		open: func(ctx context.Context) (io.ReadCloser, error) {
			r, w := io.Pipe()
			c := &checked{r, make(chan struct{})}
			go func() {
				defer close(c.ended)
				_ = w.CloseWithError(j.read(ctx, w, func(int64) {})) // never fails
			}()
			return c, nil
		},
		discard: func() {},
	}
}

// checked reads a file whose last read fails if it is not what was planned.
type checked struct {
	*io.PipeReader
	ended chan struct{}
}

// Close returns when the file is not read any more.
func (c *checked) Close() error {
	_ = c.PipeReader.Close() // never fails
	<-c.ended
	return nil
}

// createTemp makes a file under a name that nobody else has.
func createTemp(dir string) (*os.File, error) {
	name := filepath.Join(dir, strings.ToLower(rand.Text())+".tmp")
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666) // less the umask, as for any file
}
