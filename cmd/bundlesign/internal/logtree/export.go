package logtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/client"
)

// RewrittenError says that a log is not the one that was copied before, with
// more after it.
type RewrittenError struct{ Err error }

func (e *RewrittenError) Error() string {
	return "the log does not continue the copy that was made before: its history was rewritten: " + e.Err.Error()
}

func (e *RewrittenError) Unwrap() error { return e.Err }

// Export brings the copy up to tree, whose checkpoint is msg, and returns how
// many entries are new since the copy's own checkpoint, for the tree old.
//
// What is there already is not fetched again, so that an export that was
// interrupted goes on where it stopped. The old part of the copy is checked
// before it is trusted, and everything is checked against tree before the new
// checkpoint is written: a folder with a checkpoint is a log that verifies.
func (d Dir) Export(ctx context.Context, msg []byte, tree, old tlog.Tree, fetch Bundle) (fresh int64, err error) {
	if err := os.MkdirAll(string(d), 0o777); err != nil {
		return 0, err
	}
	if old.N > tree.N {
		return 0, &RewrittenError{fmt.Errorf("it has %d entries, the copy %d", tree.N, old.N)}
	}
	if old.N > 0 {
		if err := Verify(ctx, old, d.Bundle); err != nil {
			return 0, fmt.Errorf("the copy in %s, up to its checkpoint: %w", d, err)
		}
	}
	if err := d.compareEdge(ctx, tree, old, fetch); err != nil {
		return 0, err
	}
	leftovers, err := d.fill(ctx, tree, old, fetch)
	if err != nil && leftovers {
		// Perhaps it was what an interrupted export left here; that is gone now.
		_, err = d.fill(ctx, tree, old, fetch)
	}
	var bad *BrokenError
	if errors.As(err, &bad) && old.N > 0 {
		return 0, &RewrittenError{err}
	}
	if err != nil {
		return 0, err
	}
	if err := d.write(checkpointName, msg); err != nil {
		return 0, err
	}
	return tree.N - old.N, d.removePartial(old, tree)
}

// fill writes all of tree but the checkpoint. If the entries do not lead to it,
// those that no checkpoint of the copy covers are taken out again, so that they
// are not taken for a part of the log the next time; leftovers tells whether
// some of them had been there before.
func (d Dir) fill(ctx context.Context, tree, old tlog.Tree, fetch Bundle) (leftovers bool, err error) {
	w := walker{
		bundle: func(ctx context.Context, n int64, width int) ([][]byte, error) {
			entries, err := d.Bundle(ctx, n, width)
			if err != nil {
				return fetch(ctx, n, width)
			}
			leftovers = leftovers || n*client.TileWidth+int64(width) > old.N
			return entries, nil
		},
		onBundle: d.writeBundle,
		onTile:   func(t *Tile) error { return d.write(t.Path(), t.Data()) },
	}
	err = w.walk(ctx, tree)
	var bad *BrokenError
	if errors.As(err, &bad) {
		err = errors.Join(err, d.removeBundles(old, tree))
	}
	return leftovers, err
}

// compareEdge checks that the bundle in which the copy ends has the same
// entries in the log: whole bundles before it are covered by the root.
func (d Dir) compareEdge(ctx context.Context, tree, old tlog.Tree, fetch Bundle) error {
	n, have := old.N/client.TileWidth, int(old.N%client.TileWidth)
	if have == 0 || old.N == tree.N {
		return nil
	}
	mine, err := d.Bundle(ctx, n, have)
	if err != nil {
		return err
	}
	theirs, err := fetch(ctx, n, int(min(tree.N-n*client.TileWidth, client.TileWidth)))
	if err != nil {
		return err
	}
	for i := range mine {
		if i >= len(theirs) || !bytes.Equal(mine[i], theirs[i]) {
			return &RewrittenError{fmt.Errorf("entry %d is another", n*client.TileWidth+int64(i))}
		}
	}
	return nil
}

func (d Dir) writeBundle(n int64, entries [][]byte) error {
	var data []byte
	for _, e := range entries {
		var err error
		if data, err = client.AppendEntry(data, e); err != nil {
			return broken("bundle %d: %w", n, err)
		}
	}
	return d.write(client.EntryBundlePath(n, len(entries)), data)
}

// removeBundles takes out the entries that no checkpoint of the copy covers.
func (d Dir) removeBundles(old, tree tlog.Tree) error {
	var errs []error
	for n := old.N / client.TileWidth; n*client.TileWidth < tree.N; n++ {
		width := int(min(tree.N-n*client.TileWidth, client.TileWidth))
		if n*client.TileWidth+int64(width) == old.N {
			continue
		}
		if err := os.Remove(d.path(client.EntryBundlePath(n, width))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removePartial takes out the partial tiles of the tree old that tree has wider
// or full.
func (d Dir) removePartial(old, tree tlog.Tree) error {
	remove := func(name string) error {
		err := os.Remove(d.path(name))
		if err == nil {
			_ = os.Remove(filepath.Dir(d.path(name))) // the ".p" folder, if it is empty now
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for level, o, t := 0, old.N, tree.N; o > 0; level, o, t = level+1, o/client.TileWidth, t/client.TileWidth {
		n, width := o/client.TileWidth, int(o%client.TileWidth)
		if width == 0 || o == t {
			continue
		}
		if err := remove(client.HashTilePath(level, n, width)); err != nil {
			return err
		}
		if level == 0 {
			if err := remove(client.EntryBundlePath(n, width)); err != nil {
				return err
			}
		}
	}
	return nil
}
