// Package logtree rebuilds the Merkle tree of an audit log from its entries, to
// check the log and to keep a copy of it.
//
// Its invariant is that hashes are never taken from anybody: they are computed
// from the bytes of the entries, and what they lead to is compared with the root
// that a checkpoint names. The copy is a folder in the layout of C2SP
// tlog-tiles. Memory does not grow with the log.
package logtree

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/client"
)

// Tile is a tile of hashes (C2SP tlog-tiles), full or partial.
type Tile struct {
	Level  int
	N      int64
	Hashes []tlog.Hash
}

// Path returns where the tile is kept.
func (t *Tile) Path() string { return client.HashTilePath(t.Level, t.N, len(t.Hashes)) }

// Data returns the hashes one after the other.
func (t *Tile) Data() []byte {
	out := make([]byte, 0, len(t.Hashes)*tlog.HashSize)
	for _, h := range t.Hashes {
		out = append(out, h[:]...)
	}
	return out
}

// tree is a growing Merkle tree (RFC 6962, section 2.1) of which only the right
// edge is in memory.
type tree struct {
	size int64
	// levels[l] is the tile of level l that is not full yet. A tile of level
	// l+1 has one hash for each full tile of level l.
	levels []Tile
	onTile func(*Tile) error // is given each tile that became full
}

// append adds an entry.
func (t *tree) append(entry []byte) error {
	t.size++
	h := tlog.RecordHash(entry)
	for l := 0; ; l++ {
		if l == len(t.levels) {
			t.levels = append(t.levels, Tile{Level: l})
		}
		tile := &t.levels[l]
		tile.Hashes = append(tile.Hashes, h)
		if len(tile.Hashes) < client.TileWidth {
			return nil
		}
		if err := t.onTile(tile); err != nil {
			return err
		}
		h = root(tile.Hashes)
		tile.N++
		tile.Hashes = tile.Hashes[:0]
	}
}

// partial gives f the tiles that are neither full nor empty.
func (t *tree) partial(f func(*Tile) error) error {
	for l := range t.levels {
		if len(t.levels[l].Hashes) > 0 {
			if err := f(&t.levels[l]); err != nil {
				return err
			}
		}
	}
	return nil
}

// root returns the root of the tree as it is.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	// From the left, the tree is the full tiles of the highest level, then those
	// of the next, and so on. Each level's hashes stand for subtrees of one
	// size, and so the root of what is right of them is folded in on the way up.
	var right *tlog.Hash
	for l := range t.levels {
		hashes := t.levels[l].Hashes
		if len(hashes) == 0 {
			continue
		}
		h := rootWith(hashes, right)
		right = &h
	}
	return *right
}

// root returns the root over subtrees of one size.
func root(hashes []tlog.Hash) tlog.Hash { return rootWith(hashes, nil) }

// rootWith returns the root over subtrees of one size, and, right of them, a
// smaller one, if there is one.
func rootWith(hashes []tlog.Hash, right *tlog.Hash) tlog.Hash {
	n := len(hashes)
	if right != nil {
		n++
	}
	if n == 1 {
		if right != nil {
			return *right
		}
		return hashes[0]
	}
	k := 1 // the largest power of two below n
	for k*2 < n {
		k *= 2
	}
	return tlog.NodeHash(root(hashes[:k]), rootWith(hashes[k:], right))
}
