package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// recentReceipts is how many receipts are kept at hand: enough for those who wait
// for the entries of the last commits.
const recentReceipts = 1024

// tip is the newest committed checkpoint, and what was proved lately, handed from
// the writer to readers.
type tip struct {
	mu         sync.RWMutex
	checkpoint *checkpoint
	receipts   [recentReceipts]*audit.Receipt // by index modulo its length
}

func newTip(c *checkpoint) *tip { return &tip{checkpoint: c} }

func (t *tip) set(c *checkpoint, receipts []*audit.Receipt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkpoint = c
	for _, r := range receipts {
		t.receipts[r.Index%recentReceipts] = r
	}
}

func (t *tip) get() *checkpoint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.checkpoint
}

// receipt returns a copy of the receipt for index, if it is at hand.
func (t *tip) receipt(index int64) *audit.Receipt {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r := t.receipts[index%recentReceipts]; r != nil && r.Index == index {
		c := *r
		return &c
	}
	return nil
}

// logReader implements [audit.Reader] over committed rows.
type logReader struct {
	db  *sql.DB
	tip *tip
}

var _ audit.Reader = (*logReader)(nil)

// Checkpoint implements [audit.Reader].
func (l *logReader) Checkpoint(context.Context) ([]byte, error) {
	c := l.tip.get()
	if c == nil {
		return nil, &signer.Error{
			Kind: signer.KindStore, Err: signer.ErrLogKey, Retry: 2 * time.Second,
			Detail: "the log has no checkpoint yet: its key could not be used so far",
		}
	}
	return c.note, nil
}

// size is how many entries can be read.
func (l *logReader) size() int64 {
	if c := l.tip.get(); c != nil {
		return c.tree.N
	}
	return 0
}

// Entries implements [audit.Reader].
func (l *logReader) Entries(ctx context.Context, from, to int64) ([][]byte, error) {
	if size := l.size(); from < 0 || from > to || to > size {
		return nil, fmt.Errorf("%w: entries %d to %d of a log of %d", signer.ErrNotFound, from, to, size)
	}
	rows, err := l.db.QueryContext(ctx, `SELECT entry FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx`, from, to)
	if err != nil {
		return nil, sqlError(err)
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var entry []byte
		if err := rows.Scan(&entry); err != nil {
			return nil, sqlError(err)
		}
		out = append(out, entry)
	}
	if err := rows.Err(); err != nil {
		return nil, sqlError(err)
	}
	if int64(len(out)) != to-from {
		return nil, fmt.Errorf("%w: the log lacks entries between %d and %d", signer.ErrStoreBroken, from, to)
	}
	return out, nil
}

// Hashes implements [audit.Reader].
func (l *logReader) Hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		stmt, err := l.db.PrepareContext(ctx, selectHash)
		if err != nil {
			return nil, sqlError(err)
		}
		defer stmt.Close()
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if out[i], err = readHash(ctx, stmt, x); err != nil {
				return nil, fmt.Errorf("%w: reading the hashes of the log: %w", signer.ErrStoreBroken, sqlError(err))
			}
		}
		return out, nil
	})
}

// receipt proves the entry at index against the first checkpoint that held it,
// which never changes: a retry gets the same answer to the byte.
func (l *logReader) receipt(ctx context.Context, index int64) (*audit.Receipt, error) {
	if index < 0 {
		return nil, fmt.Errorf("%w: log entry %d", signer.ErrNotFound, index)
	}
	if r := l.tip.receipt(index); r != nil {
		return r, nil
	}
	r := &audit.Receipt{Index: index}
	var size int64
	err := l.db.QueryRowContext(ctx, `SELECT l.entry, c.size, c.note FROM leaves l JOIN checkpoints c ON c.size > l.idx
		WHERE l.idx = ? ORDER BY c.size LIMIT 1`, index).Scan(&r.Entry, &size, &r.Checkpoint)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: log entry %d", signer.ErrNotFound, index)
	}
	if err != nil {
		return nil, sqlError(err)
	}
	if r.Proof, err = tlog.ProveRecord(size, index, l.Hashes(ctx)); err != nil {
		return nil, err
	}
	return r, nil
}
