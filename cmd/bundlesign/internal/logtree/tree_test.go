package logtree

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// reference is a log as golang.org/x/mod/sumdb/tlog keeps it.
type reference struct{ hashes []tlog.Hash }

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = r.hashes[x]
	}
	return out, nil
}

func (r *reference) append(t *testing.T, n int64, entry []byte) {
	hashes, err := tlog.StoredHashes(n, entry, r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, hashes...)
}

func TestRootIsThatOfTlogAtEverySize(t *testing.T) {
	var ref reference
	ours := tree{onTile: func(*Tile) error { return nil }}
	for n := int64(0); n <= 1100; n++ {
		want, err := tlog.TreeHash(n, &ref)
		if err != nil {
			t.Fatal(err)
		}
		if found := ours.root(); found != want {
			t.Fatalf("%d entries: found root %s, want %s", n, found, want)
		}
		entry := fmt.Appendf(nil, "entry %d", n)
		ref.append(t, n, entry)
		if err := ours.append(entry); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTilesAreThoseOfTlog(t *testing.T) {
	// Past 256² entries a third level of tiles begins.
	for _, size := range []int64{1, 2, 255, 256, 257, 511, 512, 1000, 65535, 65536, 65537, 65793} {
		var ref reference
		tiles := 0
		check := func(tile *Tile) error {
			tiles++
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: tile.Level, N: tile.N, W: len(tile.Hashes)}, &ref)
			if err != nil {
				return err
			}
			if !bytes.Equal(tile.Data(), want) {
				return fmt.Errorf("%s has other hashes", tile.Path())
			}
			return nil
		}
		ours := tree{onTile: check}
		for n := range size {
			entry := fmt.Appendf(nil, "%d", n)
			ref.append(t, n, entry)
			if err := ours.append(entry); err != nil {
				t.Fatal(err)
			}
		}
		if err := ours.partial(check); err != nil {
			t.Fatal(err)
		}
		if want := len(tlog.NewTiles(8, 0, size)); tiles != want {
			t.Errorf("%d entries: found %d tiles, want %d", size, tiles, want)
		}
		if want, err := tlog.TreeHash(size, &ref); err != nil || ours.root() != want {
			t.Errorf("%d entries: found root %s, want %s (error %v)", size, ours.root(), want, err)
		}
	}
}
