package webapp

import (
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// maxWorkers bounds memory where there are many processors: each worker holds a file
// of up to [wholeBytes], and its compressed form.
const maxWorkers = 8

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// each calls f for every file, several at a time, until one fails.
func (a *App) each(ctx context.Context, f func(context.Context, *File) error) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(workers())
	for i := range a.Files {
		if each.Err() != nil {
			break
		}
		g.Go(func() error { return f(each, &a.Files[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// A meter tells how much is read, and stops reading when its context ends.
type meter struct {
	ctx  context.Context
	r    io.Reader
	tell func(bytes int64) // may be nil
}

func (m *meter) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	if n > 0 && m.tell != nil {
		m.tell(int64(n))
	}
	return n, err
}
