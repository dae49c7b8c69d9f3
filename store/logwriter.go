package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// logWriter appends to the Merkle tree inside the writer's transaction. Only the
// writer's goroutine uses it.
type logWriter struct {
	stmt   *statements
	signer note.Signer

	size int64     // leaves, the uncommitted ones included
	last time.Time // time of the newest leaf
	// hashes are the stored hashes that the next leaf and the tree's root are
	// computed from, by stored-hash index: the right edge of the tree.
	hashes     map[int64]tlog.Hash
	edge       []int64     // indexes of the right edge, as of the last seal
	fresh      [][]byte    // entries that are not committed yet, up to size
	checkpoint *checkpoint // the newest committed; nil before the first
}

// checkpoint is a signed checkpoint and the tree it is of.
type checkpoint struct {
	tree tlog.Tree
	note []byte
}

// dbError marks an error of the database, as opposed to one of the caller's.
type dbError struct{ err error }

func (e *dbError) Error() string { return e.err.Error() }
func (e *dbError) Unwrap() error { return e.err }

// openLog reads where the log stands and checks that it stands as signed. An
// empty database gets the checkpoint of the empty tree.
func openLog(ctx context.Context, conn *sql.Conn, stmt *statements, s note.Signer, v note.Verifier) (*logWriter, error) {
	l := &logWriter{stmt: stmt, signer: s, hashes: make(map[int64]tlog.Hash)}
	if err := conn.QueryRowContext(ctx, `SELECT coalesce(max(idx), -1) + 1 FROM leaves`).Scan(&l.size); err != nil {
		return nil, sqlError(err)
	}
	tree, err := l.tree(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: the audit log is damaged: %w", signer.ErrStoreBroken, err)
	}
	var msg []byte
	err = conn.QueryRowContext(ctx, `SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1`).Scan(&msg)
	if errors.Is(err, sql.ErrNoRows) && l.size == 0 {
		err := l.writeFirst(ctx, tree)
		// A failure that does not say that it is for good may pass (see [signer.Key]).
		if errors.Is(err, signer.ErrLogKey) && !errors.Is(err, signer.ErrKeyUnusable) {
			return l, nil // the first entry brings the first checkpoint
		}
		return l, err
	}
	if err != nil {
		return nil, sqlError(err)
	}
	signed, err := audit.OpenCheckpoint(msg, v)
	if err != nil {
		return nil, fmt.Errorf("%w: the log in this state directory was signed by another log key (%w): restore that key, or give this daemon an empty state_dir", signer.ErrStoreBroken, err)
	}
	if signed != tree {
		return nil, fmt.Errorf("%w: the audit log was changed: its %d entries hash to %s, but the newest checkpoint is of %d entries with %s; restore the state directory from a backup",
			signer.ErrStoreBroken, tree.N, tree.Hash, signed.N, signed.Hash)
	}
	if l.size > 0 {
		var entry []byte
		if err := conn.QueryRowContext(ctx, `SELECT entry FROM leaves WHERE idx = ?`, l.size-1).Scan(&entry); err != nil {
			return nil, sqlError(err)
		}
		leaf, err := audit.DecodeLeaf(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", signer.ErrStoreBroken, err)
		}
		l.last = leaf.Time
	}
	l.checkpoint = &checkpoint{tree, msg}
	return l, nil
}

func (l *logWriter) writeFirst(ctx context.Context, tree tlog.Tree) error {
	c, err := l.sign(ctx, tree)
	if err != nil {
		return err
	}
	l.checkpoint = c
	return nil
}

func (l *logWriter) append(ctx context.Context, leaf *audit.Leaf) (int64, error) {
	if back := l.last.Sub(leaf.Time); leaf.Type == audit.LeafClock {
		// An operator says that this is the time from now on.
	} else if back > signer.ClockTolerance {
		return 0, fmt.Errorf("%w: it shows %s, the newest log entry was made at %s, %s later; set the clock right",
			signer.ErrClockBack, leaf.Time.UTC().Format(time.RFC3339), l.last.UTC().Format(time.RFC3339), back.Round(time.Second))
	} else if back > 0 {
		leaf.Time = l.last
	}
	entry, err := leaf.Encode()
	if err != nil {
		return 0, err
	}
	index := l.size
	hashes, err := tlog.StoredHashes(index, entry, l.reader(ctx))
	if err != nil {
		return 0, err
	}
	if _, err := l.stmt.insertLeaf.ExecContext(ctx, index, entry, joinHashes(hashes)); err != nil {
		return 0, &dbError{err}
	}
	at := tlog.StoredHashIndex(0, index)
	for i, h := range hashes {
		l.hashes[at+int64(i)] = h
	}
	l.fresh = append(l.fresh, entry)
	l.size, l.last = index+1, leaf.Time
	return index, nil
}

// reader gives tlog the hashes of the right edge.
func (l *logWriter) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if h, ok := l.hashes[x]; ok {
				out[i] = h
				continue
			}
			h, err := readHash(ctx, l.stmt.selectHash, x)
			if err != nil {
				return nil, &dbError{err}
			}
			out[i], l.hashes[x] = h, h
		}
		return out, nil
	})
}

// tree computes the root over the leaves so far and notes the right edge.
func (l *logWriter) tree(ctx context.Context) (tlog.Tree, error) {
	root, err := tlog.TreeHash(l.size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		l.edge = append(l.edge[:0], indexes...)
		return l.reader(ctx).ReadHashes(indexes)
	}))
	return tlog.Tree{N: l.size, Hash: root}, err
}

// seal signs the checkpoint of what this transaction appended since mark.
func (l *logWriter) seal(ctx context.Context, since logMark) (*checkpoint, error) {
	if l.size == since.size && l.checkpoint != nil {
		return l.checkpoint, nil
	}
	tree, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	return l.sign(ctx, tree)
}

func (l *logWriter) sign(ctx context.Context, tree tlog.Tree) (*checkpoint, error) {
	msg, err := audit.SignCheckpoint(tree, l.signer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signer.ErrLogKey, err)
	}
	if _, err := l.stmt.insertCheckpoint.ExecContext(ctx, tree.N, msg); err != nil {
		return nil, sqlError(err)
	}
	return &checkpoint{tree, msg}, nil
}

// receipts proves the entries that are not committed yet against the checkpoint
// that is about to be. All hashes for that are at hand: what stands to the left
// of a new entry's path was a part of the right edge before.
func (l *logWriter) receipts(ctx context.Context, c *checkpoint) ([]*audit.Receipt, error) {
	out := make([]*audit.Receipt, len(l.fresh))
	first := l.size - int64(len(l.fresh))
	for i, entry := range l.fresh {
		proof, err := tlog.ProveRecord(c.tree.N, first+int64(i), l.reader(ctx))
		if err != nil {
			return nil, err
		}
		out[i] = &audit.Receipt{Index: first + int64(i), Entry: entry, Checkpoint: c.note, Proof: proof}
	}
	return out, nil
}

// committed forgets all hashes but the right edge.
func (l *logWriter) committed(c *checkpoint) {
	if c == l.checkpoint {
		return
	}
	l.checkpoint, l.fresh = c, nil
	edge := make(map[int64]tlog.Hash, len(l.edge))
	for _, x := range l.edge {
		edge[x] = l.hashes[x]
	}
	l.hashes = edge
}

// logMark is where the log stood.
type logMark struct {
	size int64
	last time.Time
}

func (l *logWriter) mark() logMark { return logMark{l.size, l.last} }

// reset takes back what was appended since the mark.
func (l *logWriter) reset(m logMark) {
	if l.size == m.size {
		return
	}
	for x := range l.hashes {
		if x >= tlog.StoredHashIndex(0, m.size) {
			delete(l.hashes, x)
		}
	}
	l.fresh = l.fresh[:int64(len(l.fresh))-(l.size-m.size)]
	l.size, l.last = m.size, m.last
}
