package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

var _ signer.Tx = (*tx)(nil)

// tx is one job's view of the writer's transaction.
type tx struct {
	ctx  context.Context
	stmt *statements
	log  *logWriter
	// fatal is an error of SQLite's own. It ends the whole batch even if the
	// job's function swallowed it, because SQLite may have ended the transaction.
	fatal error
}

func (t *tx) fail(err error) error {
	if err = sqlError(err); t.fatal == nil {
		t.fatal = err
	}
	return err
}

func (t *tx) one(stmt *sql.Stmt, args ...any) (*signer.Request, error) {
	r, err := scanRequest(stmt.QueryRowContext(t.ctx, args...))
	if err != nil && !errors.Is(err, signer.ErrNotFound) {
		return nil, t.fail(err)
	}
	return r, err
}

// Request implements [signer.Tx].
func (t *tx) Request(id string) (*signer.Request, error) { return t.one(t.stmt.byID, id) }

// ByFingerprint implements [signer.Tx].
func (t *tx) ByFingerprint(fp string) (*signer.Request, error) {
	return t.one(t.stmt.byFingerprint, fp)
}

// ByIdempotencyKey implements [signer.Tx].
func (t *tx) ByIdempotencyKey(uid uint32, key string) (*signer.Request, error) {
	return t.one(t.stmt.byIdempotencyKey, int64(uid), key)
}

// Insert implements [signer.Tx].
func (t *tx) Insert(r *signer.Request) error {
	record, err := encodeRecord(r)
	if err != nil {
		return err
	}
	files, err := encodeFiles(r.Submission.Files)
	if err != nil {
		return err
	}
	res, err := t.stmt.insertRequest.ExecContext(t.ctx, r.ID, string(r.State), r.Submission.AppID, r.Submission.Channel, int64(r.Requester.UID), r.Fingerprint, record, files)
	if err != nil {
		return t.fail(err)
	}
	if r.Seq, err = res.LastInsertId(); err != nil {
		return t.fail(err)
	}
	if r.IdempotencyKey == "" {
		return nil
	}
	return t.Name(r.Requester.UID, r.IdempotencyKey, r.ID)
}

// Name implements [signer.Tx].
func (t *tx) Name(uid uint32, key, id string) error {
	if _, err := t.stmt.insertName.ExecContext(t.ctx, int64(uid), key, id); err != nil {
		return t.fail(err)
	}
	return nil
}

// Move implements [signer.Tx].
func (t *tx) Move(r *signer.Request, from signer.State) error {
	record, err := encodeRecord(r)
	if err != nil {
		return err
	}
	res, err := t.stmt.moveRequest.ExecContext(t.ctx, string(r.State), record, encodeSignatures(r), r.ID, string(from))
	if err != nil {
		return t.fail(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return t.fail(err)
	}
	if n == 1 {
		return nil
	}
	if _, err := t.Request(r.ID); err != nil {
		return err
	}
	return fmt.Errorf("%w: it is no longer %s", signer.ErrMoved, from)
}

// Append implements [signer.Tx].
func (t *tx) Append(leaf *audit.Leaf) (int64, error) {
	index, err := t.log.append(t.ctx, leaf)
	var db *dbError
	if errors.As(err, &db) {
		return 0, t.fail(db.err)
	}
	return index, err
}

// Quarantine implements [signer.Tx].
func (t *tx) Quarantine(key, reason string) error {
	if _, err := t.stmt.quarantine.ExecContext(t.ctx, key, reason); err != nil {
		return t.fail(err)
	}
	return nil
}

// Release implements [signer.Tx].
func (t *tx) Release(key string) error { return t.remove(t.stmt.unquarantine, key) }

// DisableKey implements [signer.Tx].
func (t *tx) DisableKey(key, reason string) error {
	if _, err := t.stmt.disable.ExecContext(t.ctx, key, reason); err != nil {
		return t.fail(err)
	}
	return nil
}

// EnableKey implements [signer.Tx].
func (t *tx) EnableKey(key string) error { return t.remove(t.stmt.enable, key) }

// remove removes the one row of a key.
func (t *tx) remove(stmt *sql.Stmt, key string) error {
	res, err := stmt.ExecContext(t.ctx, key)
	if err != nil {
		return t.fail(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return t.fail(err)
	}
	if n == 0 {
		return signer.ErrNotFound
	}
	return nil
}
