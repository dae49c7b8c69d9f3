package store

import (
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// Whatever batches succeed, fail half-way or reopen the store, the tree is that
// of the entries that were committed, and each has a receipt that verifies.
func TestTreeIsThatOfTheCommittedEntries(t *testing.T) {
	keys := newLogKeys(t)
	rapid.Check(t, func(rt *rapid.T) {
		o := keys.options(stateDir(t))
		s := openStore(t, o)
		var committed int64
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"commit", "commit", "fail", "reopen"}).Draw(rt, "step") {
			case "commit":
				n := rapid.IntRange(1, 9).Draw(rt, "n")
				if err := s.Update(t.Context(), appendLeaves(n, nil)); err != nil {
					rt.Fatal(err)
				}
				committed += int64(n)
			case "fail":
				boom := errors.New("boom")
				if err := s.Update(t.Context(), appendLeaves(rapid.IntRange(1, 9).Draw(rt, "n"), boom)); !errors.Is(err, boom) {
					rt.Fatal(err)
				}
			case "reopen":
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = openStore(t, o)
			}
		}
		checkTree(t, rt, s, keys, committed)
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func appendLeaves(n int, then error) func(signer.Tx) error {
	return func(tx signer.Tx) error {
		for range n {
			if _, err := tx.Append(&audit.Leaf{Type: audit.LeafStarted, Time: start}); err != nil {
				return err
			}
		}
		return then
	}
}

// checkTree recomputes the tree from the entries alone.
func checkTree(t *testing.T, rt *rapid.T, s *Store, keys logKeys, want int64) {
	ctx := t.Context()
	entries, err := s.Log().Entries(ctx, 0, want)
	if err != nil {
		rt.Fatal(err)
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = hashes[x]
		}
		return out, nil
	})
	for i, e := range entries {
		hs, err := tlog.StoredHashes(int64(i), e, reader)
		if err != nil {
			rt.Fatal(err)
		}
		hashes = append(hashes, hs...)
	}
	root, err := tlog.TreeHash(want, reader)
	if err != nil {
		rt.Fatal(err)
	}
	msg, err := s.Log().Checkpoint(ctx)
	if err != nil {
		rt.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, keys.verifier)
	if err != nil {
		rt.Fatal(err)
	}
	if tree != (tlog.Tree{N: want, Hash: root}) {
		rt.Fatalf("the checkpoint is of %v, the entries give %d %s", tree, want, root)
	}
	for i := range want {
		rec, err := s.Receipt(ctx, i)
		if err != nil {
			rt.Fatal(err)
		}
		if err := rec.Verify(keys.verifier); err != nil {
			rt.Fatalf("entry %d: %v", i, err)
		}
	}
}
