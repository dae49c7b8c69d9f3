package logtree

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// checkpointName is where a copy has its checkpoint (C2SP tlog-tiles).
const checkpointName = "checkpoint"

// Dir is a copy of a log: a folder in the layout of C2SP tlog-tiles.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Checkpoint returns the checkpoint that the copy reaches to. Without one the
// error is fs.ErrNotExist.
func (d Dir) Checkpoint() ([]byte, error) { return os.ReadFile(d.path(checkpointName)) }

// Bundle returns an entry bundle of the copy.
func (d Dir) Bundle(_ context.Context, n int64, width int) ([][]byte, error) {
	name := client.EntryBundlePath(n, width)
	data, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &BrokenError{err}
	}
	if err != nil {
		return nil, err
	}
	entries, err := client.ParseEntryBundle(data)
	if err != nil {
		return nil, broken("%s: %w", name, err)
	}
	if len(entries) != width {
		return nil, broken("%s: found %d entries, want %d", name, len(entries), width)
	}
	return entries, nil
}

// Verify checks the copy against a tree: all entries, and all tiles of hashes.
func (d Dir) Verify(ctx context.Context, want tlog.Tree) error {
	w := walker{bundle: d.Bundle, onTile: d.compareTile}
	return w.walk(ctx, want)
}

func (d Dir) compareTile(t *Tile) error {
	data, err := os.ReadFile(d.path(t.Path()))
	if errors.Is(err, fs.ErrNotExist) {
		return &BrokenError{err}
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(data, t.Data()) {
		return broken("%s: found hashes that are not those of the entries", t.Path())
	}
	return nil
}

// write puts data under name, unless it is there already.
func (d Dir) write(name string, data []byte) error {
	path := d.path(name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return outfile.WriteFile(path, data)
}
