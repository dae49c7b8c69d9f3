package store

import (
	"context"
	"database/sql"
	"errors"
)

// statements are the writer's, prepared once: preparing costs more than running.
type statements struct {
	begin, commit, rollback        *sql.Stmt
	savepoint, rollbackTo, release *sql.Stmt

	byID, byFingerprint, byIdempotencyKey  *sql.Stmt
	insertRequest, insertName, moveRequest *sql.Stmt

	insertLeaf, insertCheckpoint, selectHash *sql.Stmt

	quarantine, unquarantine *sql.Stmt
	disable, enable          *sql.Stmt

	all []*sql.Stmt
}

func prepare(ctx context.Context, conn *sql.Conn) (*statements, error) {
	s := new(statements)
	for _, p := range []struct {
		dst **sql.Stmt
		sql string
	}{
		{&s.begin, `BEGIN IMMEDIATE`},
		{&s.commit, `COMMIT`},
		{&s.rollback, `ROLLBACK`},
		{&s.savepoint, `SAVEPOINT job`},
		{&s.rollbackTo, `ROLLBACK TO job`},
		{&s.release, `RELEASE job`},
		{&s.byID, `SELECT seq, record FROM requests WHERE id = ?`},
		{&s.byFingerprint, `SELECT seq, record FROM requests WHERE fingerprint = ? ORDER BY seq DESC LIMIT 1`},
		{&s.byIdempotencyKey, `SELECT r.seq, r.record FROM idempotency i JOIN requests r ON r.seq = i.seq WHERE i.uid = ? AND i.key = ?`},
		{&s.insertRequest, `INSERT INTO requests (id, state, app_id, fingerprint, record, files) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.insertName, `INSERT INTO idempotency (uid, key, seq) SELECT ?, ?, seq FROM requests WHERE id = ?`},
		{&s.moveRequest, `UPDATE requests SET state = ?, record = ?, file_signatures = ? WHERE id = ? AND state = ?`},
		{&s.insertLeaf, `INSERT INTO leaves (idx, entry, hashes) VALUES (?, ?, ?)`},
		{&s.selectHash, selectHash},
		{&s.insertCheckpoint, `INSERT INTO checkpoints (size, note) VALUES (?, ?)`},
		{&s.quarantine, `INSERT INTO quarantine (key, reason) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`},
		{&s.unquarantine, `DELETE FROM quarantine WHERE key = ?`},
		{&s.disable, `INSERT INTO disabled (key, reason) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET reason = excluded.reason`},
		{&s.enable, `DELETE FROM disabled WHERE key = ?`},
	} {
		stmt, err := conn.PrepareContext(ctx, p.sql)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		*p.dst = stmt
		s.all = append(s.all, stmt)
	}
	return s, nil
}

func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
