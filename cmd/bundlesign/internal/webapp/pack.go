package webapp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

const (
	// level is that of the compressor. At 8 the zip is about as small as the official
	// CLI's, and sooner done. To change it changes the digest of every app.
	level = 8

	// wholeBytes is the size of the largest file that is compressed in memory, several at
	// a time. A larger one is compressed while it is written, and so has its sizes
	// behind it, in a data descriptor. To change it changes the digests of some apps.
	wholeBytes = 2 << 20
)

// Pack writes the zip of the app's files to w. The same files give the same bytes,
// wherever and whenever, with the same release of bundlesign: names in order, all
// with the same time and mode, nothing that is not needed, and a compressor whose
// version is pinned. The compression of Go's own library changes with Go's version.
//
// Each entry is Deflated, or stored if that makes it no larger; both are what phones
// read (ZipInputStream of Android, ZIPFoundation of iOS). ZIP64 is not used: an app for
// which it would be needed, with more than 65,534 files or 4 GiB, is an [ErrTooLarge].
//
// What is in w after an error is no zip. progress, which may be nil, gets the number
// of bytes of the files that were read since it was called last, from several
// goroutines.
func (a *App) Pack(ctx context.Context, w io.Writer, progress func(bytes int64)) error {
	if len(a.Files) > maxEntries {
		return &FileError{App: a.Path, Err: fmt.Errorf("%w: it has %d files, want at most %d", ErrTooLarge, len(a.Files), maxEntries)}
	}
	for _, f := range a.Files {
		if f.Size > maxZip32 {
			return &FileError{a.Path, f.Name, fmt.Errorf("%w: it has %d bytes, want at most %d", ErrTooLarge, f.Size, int64(maxZip32))}
		}
	}
	p := &packer{files: a.Files, zip: &zipWriter{w: w}, progress: progress}
	if err := p.run(ctx); err != nil {
		if errors.Is(err, ErrTooLarge) {
			err = &FileError{App: a.Path, Err: err}
		}
		return err
	}
	if err := a.Unchanged(ctx); err != nil {
		return err
	}
	return p.zip.close()
}

// packer has files compressed by several workers and writes them in order.
type packer struct {
	files    []File
	zip      *zipWriter
	progress func(bytes int64)
}

// parcel is a file on its way.
type parcel struct {
	file *File
	done chan struct{} // closed when head and data are there; nil of a large file
	head entryHead
	data []byte
}

func (p *packer) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	n := workers()
	// What waits to be written is bounded by the room in inOrder.
	inOrder, work := make(chan *parcel, n), make(chan *parcel)
	g.Go(func() error {
		defer close(inOrder)
		defer close(work)
		return p.hand(ctx, inOrder, work)
	})
	for range n {
		g.Go(func() error {
			c := newCompressor()
			for one := range work {
				if err := p.compress(ctx, one, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		c := newCompressor()
		for one := range inOrder {
			if err := p.write(ctx, one, c); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// hand gives each file to the writer, in order, and the small ones to the workers.
func (p *packer) hand(ctx context.Context, inOrder, work chan<- *parcel) error {
	for i := range p.files {
		one := &parcel{file: &p.files[i]}
		if one.file.Size <= wholeBytes {
			one.done = make(chan struct{})
		}
		select {
		case inOrder <- one:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if one.done == nil {
			continue
		}
		select {
		case work <- one:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// compress fills a parcel.
func (p *packer) compress(ctx context.Context, one *parcel, c *compressor) error {
	var plain bytes.Buffer
	plain.Grow(int(one.file.Size) + bytes.MinRead)
	if err := p.read(ctx, &plain, one.file); err != nil {
		return err
	}
	packed, err := c.shrink(plain.Bytes())
	if err != nil {
		return err
	}
	one.head = entryHead{
		name: one.file.Name, method: methodDeflate, crc: crc32.ChecksumIEEE(plain.Bytes()),
		packed: int64(len(packed)), size: int64(plain.Len()),
	}
	one.data = packed
	if packed == nil {
		one.head.method, one.head.packed, one.data = methodStore, one.head.size, plain.Bytes()
	}
	close(one.done)
	return nil
}

func (p *packer) read(ctx context.Context, to io.Writer, f *File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(to, &meter{ctx: ctx, r: r, tell: p.progress})
	return err
}

// write writes a parcel when it is filled.
func (p *packer) write(ctx context.Context, one *parcel, c *compressor) error {
	if one.done == nil {
		return p.stream(ctx, one.file, c)
	}
	select {
	case <-one.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := p.zip.begin(&one.head); err != nil {
		return err
	}
	if _, err := p.zip.Write(one.data); err != nil {
		return err
	}
	p.zip.end(&one.head)
	return nil
}

// stream compresses a large file while it is written.
func (p *packer) stream(ctx context.Context, f *File, c *compressor) error {
	h := &entryHead{name: f.Name, method: methodDeflate, flags: flagDescriptor}
	if err := p.zip.begin(h); err != nil {
		return err
	}
	start := p.zip.at
	crc := crc32.NewIEEE()
	c.w.Reset(p.zip)
	if err := p.read(ctx, io.MultiWriter(crc, c.w), f); err != nil {
		return err
	}
	if err := c.w.Close(); err != nil {
		return err
	}
	h.crc, h.packed, h.size = crc.Sum32(), p.zip.at-start, f.Size
	if err := p.zip.describe(h); err != nil {
		return err
	}
	p.zip.end(h)
	return nil
}

// compressor compresses one file after the other; what it had before leaves no trace
// in what comes next.
type compressor struct{ w *flate.Writer }

func newCompressor() *compressor {
	w, err := flate.NewWriter(io.Discard, level)
	if err != nil {
		panic(err) // only of a level that there is not
	}
	return &compressor{w}
}

// shrink returns plain compressed, or nil if it does not get smaller.
func (c *compressor) shrink(plain []byte) ([]byte, error) {
	if len(plain) == 0 {
		return nil, nil
	}
	to := make(short, 0, len(plain))
	c.w.Reset(&to)
	_, err := c.w.Write(plain)
	if err == nil {
		err = c.w.Close()
	}
	if errors.Is(err, errNoGain) {
		return nil, nil
	}
	return to, err
}

var errNoGain = errors.New("not smaller")

// short takes fewer bytes than it has room for.
type short []byte

func (s *short) Write(p []byte) (int, error) {
	if len(*s)+len(p) >= cap(*s) {
		return 0, errNoGain
	}
	*s = append(*s, p...)
	return len(p), nil
}
