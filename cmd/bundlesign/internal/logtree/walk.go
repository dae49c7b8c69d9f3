package logtree

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/client"
)

// BrokenError says that a log does not hold together: somebody changed it.
type BrokenError struct{ Err error }

func (e *BrokenError) Error() string { return "the log is not intact: " + e.Err.Error() }

func (e *BrokenError) Unwrap() error { return e.Err }

func broken(format string, args ...any) error { return &BrokenError{fmt.Errorf(format, args...)} }

// Bundle returns entry bundle n of a log, with width entries.
type Bundle func(ctx context.Context, n int64, width int) ([][]byte, error)

// walker goes through all entries of a log.
type walker struct {
	bundle Bundle
	// Optional; entries are the new ones of a bundle, after they are in the tree.
	onBundle func(n int64, entries [][]byte) error
	onTile   func(*Tile) error
}

// walk rebuilds the tree of want.N entries and compares its root with
// want.Hash. Every entry must be a leaf that package audit can read.
func (w *walker) walk(ctx context.Context, want tlog.Tree) error {
	if w.onTile == nil {
		w.onTile = func(*Tile) error { return nil }
	}
	t := tree{onTile: w.onTile}
	for n := int64(0); t.size < want.N; n++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		width := int(min(want.N-t.size, client.TileWidth))
		entries, err := w.bundle(ctx, n, width)
		if err != nil {
			return err
		}
		if len(entries) != width {
			return broken("entry bundle %d: found %d entries, want %d", n, len(entries), width)
		}
		for _, e := range entries {
			if _, err := audit.DecodeLeaf(e); err != nil {
				return broken("entry %d: %w", t.size, err)
			}
			if err := t.append(e); err != nil {
				return err
			}
		}
		if w.onBundle != nil {
			if err := w.onBundle(n, entries); err != nil {
				return err
			}
		}
	}
	if err := t.partial(w.onTile); err != nil {
		return err
	}
	if found := t.root(); found != want.Hash {
		return broken("%d entries lead to the root %s, but the checkpoint says %s: an entry or the checkpoint was changed", want.N, found, want.Hash)
	}
	return nil
}

// Verify checks that the entries which bundle returns are those of the tree.
func Verify(ctx context.Context, want tlog.Tree, bundle Bundle) error {
	w := walker{bundle: bundle}
	return w.walk(ctx, want)
}
