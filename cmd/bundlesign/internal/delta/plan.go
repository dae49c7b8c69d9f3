package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// Plan is what a delta update of an app consists of: the files whose hashes are to
// be signed.
type Plan struct {
	Files   []Planned // sorted by name, as the app's
	Skipped []string  // what is left out of delta updates, for messages

	sources  []source // of Files
	inMemory int64    // bytes; larger files are not held in memory
}

// source is where a planned file is read from.
type source struct {
	webapp.File
	app string // for messages
}

// Planned is one file of a [Plan].
type Planned struct {
	Name   string // relative to the app, "/" between parts
	Digest capgo.Digest
	Size   int64 // bytes, more than 0
}

// A NameError says that an app cannot have a delta update, because one of its
// files cannot be in it.
type NameError struct{ Err error }

func (e *NameError) Error() string { return "delta: " + e.Err.Error() }

func (e *NameError) Unwrap() error { return e.Err }

// ErrNoFiles is returned for an app of which nothing is left for a delta update.
var ErrNoFiles = errors.New("delta: found no file that belongs into a delta update")

// Hash reads every file of an app, several at a time. It tells progress of each
// piece that was read; the calls do not overlap. It fails with a [*NameError]
// before it has read anything if a file cannot be in a delta update.
func Hash(ctx context.Context, app *webapp.App, progress func(bytes int64)) (*Plan, error) {
	p := &Plan{inMemory: inMemory}
	for i, f := range app.Files {
		if in, why := capgo.InDelta(f.Name, f.Size); !in {
			p.Skipped = append(p.Skipped, fmt.Sprintf("%s (%s)", f.Name, why))
			continue
		}
		if err := capgo.ValidPlainName(f.Name); err != nil {
			return nil, &NameError{err}
		}
		if i > 0 && app.Files[i-1].Name >= f.Name {
			return nil, fmt.Errorf("delta: found %q after %q, want each name once and in order", f.Name, app.Files[i-1].Name)
		}
		p.sources = append(p.sources, source{f, app.Path})
	}
	if len(p.sources) == 0 {
		return nil, ErrNoFiles
	}
	progress = oneAtATime(progress)
	p.Files = make([]Planned, len(p.sources))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range p.sources {
		g.Go(func() error {
			h := sha256.New()
			if err := f.copyTo(each, h, progress); err != nil {
				return err
			}
			p.Files[i] = Planned{f.Name, capgo.Digest(h.Sum(nil)), f.Size}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := app.Unchanged(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// oneAtATime makes a progress function, which may be nil, fit for many workers.
func oneAtATime(progress func(int64)) func(int64) {
	if progress == nil {
		return func(int64) {}
	}
	var mu sync.Mutex
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		progress(n)
	}
}

// copyTo copies a file, all of it and not more, to dst.
func (s source) copyTo(ctx context.Context, dst io.Writer, progress func(int64)) error {
	src, err := s.Open()
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	in := &meter{ctx: ctx, r: src, progress: progress}
	// One byte more than it may have, so that a file that keeps growing has an end.
	n, err := io.CopyBuffer(dst, io.LimitReader(in, s.Size+1), make([]byte, min(copySize, s.Size+1)))
	switch {
	case in.err != nil:
		return in.err
	case err != nil:
		return err // of dst
	case n != s.Size:
		return s.changed(fmt.Sprintf("it had %d bytes and has another number now", s.Size))
	}
	return nil
}

// changed is the error about a file that is not what was to be signed.
func (s source) changed(how string) error {
	return &webapp.FileError{App: s.app, Name: s.Name, Err: fmt.Errorf("%s: %w", how, webapp.ErrChanged)}
}

// copySize is how much is read at once at most.
const copySize = 256 << 10

// meter reads a file, tells how far it is, and stops when its context ends.
type meter struct {
	ctx      context.Context
	r        io.Reader
	progress func(int64)
	err      error // of reading, if any
}

func (m *meter) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		m.err = context.Cause(m.ctx)
		return 0, m.err
	}
	n, err := m.r.Read(p)
	if n > 0 {
		m.progress(int64(n))
	}
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
