package store

import (
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// selectHash reads one hash out of the leaf that completes it.
const selectHash = `SELECT substr(hashes, ?2, 32) FROM leaves WHERE idx = ?1`

// storedHash tells where the hash with tlog's stored-hash index x is: the leaf
// that completes its subtree, and the position among that leaf's hashes, which is
// the level.
func storedHash(x int64) (leaf int64, level int) {
	level, n := tlog.SplitStoredHashIndex(x)
	return (n+1)<<level - 1, level
}

func readHash(ctx context.Context, stmt *sql.Stmt, x int64) (tlog.Hash, error) {
	leaf, level := storedHash(x)
	var b []byte
	if err := stmt.QueryRowContext(ctx, leaf, level*tlog.HashSize+1).Scan(&b); err != nil {
		return tlog.Hash{}, err
	}
	if len(b) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("leaf %d lacks its hash at level %d", leaf, level)
	}
	return tlog.Hash(b), nil
}

func joinHashes(hashes []tlog.Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}
