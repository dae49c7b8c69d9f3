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

	files, pending, pendingOf, authorized *sql.Stmt
	use, usesByRule, usesByApp, purgeUses *sql.Stmt
	usesByAccount, head, setHead          *sql.Stmt
	freezes, freeze, putFreeze            *sql.Stmt
	purgeTokens, spendToken, spentToken   *sql.Stmt

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
		{&s.insertRequest, `INSERT INTO requests (id, state, app_id, channel, uid, fingerprint, record, files) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`},
		{&s.insertName, `INSERT INTO idempotency (uid, key, seq) SELECT ?, ?, seq FROM requests WHERE id = ?`},
		{&s.moveRequest, `UPDATE requests SET state = ?1, record = ?2, file_signatures = ?3,
			files = CASE WHEN ?1 IN ('denied', 'rejected', 'expired', 'cancelled') THEN NULL ELSE files END WHERE id = ?4 AND state = ?5`},
		{&s.insertLeaf, `INSERT INTO leaves (idx, entry, hashes) VALUES (?, ?, ?)`},
		{&s.selectHash, selectHash},
		{&s.insertCheckpoint, `INSERT INTO checkpoints (size, note) VALUES (?, ?)`},
		{&s.quarantine, `INSERT INTO quarantine (key, reason) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`},
		{&s.unquarantine, `DELETE FROM quarantine WHERE key = ?`},
		{&s.disable, `INSERT INTO disabled (key, reason) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET reason = excluded.reason`},
		{&s.enable, `DELETE FROM disabled WHERE key = ?`},
		{&s.files, `SELECT files FROM requests WHERE id = ?`},
		{&s.pending, `SELECT seq, record FROM requests WHERE state = 'pending' ORDER BY seq`},
		{&s.pendingOf, `SELECT count(*) FROM requests WHERE state = 'pending' AND uid = ?`},
		{&s.authorized, `SELECT seq, record FROM requests WHERE state = 'authorized' AND app_id = ? AND channel = ?`},
		{&s.purgeUses, `DELETE FROM uses WHERE at < ?`},
		{&s.use, `INSERT INTO uses (request, at, rule, app, account) VALUES (?, ?, ?, ?, ?)`},
		{&s.usesByRule, `SELECT count(*) FROM uses WHERE rule = ? AND at > ?`},
		{&s.usesByApp, `SELECT count(*) FROM uses WHERE app = ? AND at > ?`},
		{&s.usesByAccount, `SELECT count(*) FROM uses WHERE account = ? AND at > ?`},
		{&s.head, `SELECT head FROM heads WHERE app_id = ? AND channel = ?`},
		{&s.setHead, `INSERT INTO heads (app_id, channel, head) VALUES (?, ?, ?) ON CONFLICT (app_id, channel) DO UPDATE SET head = excluded.head`},
		{&s.freezes, selectFreezes},
		{&s.freeze, `SELECT freeze FROM freezes WHERE id = ?`},
		{&s.putFreeze, `INSERT INTO freezes (id, lifted, freeze) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET lifted = excluded.lifted, freeze = excluded.freeze`},
		{&s.purgeTokens, `DELETE FROM tokens WHERE expires < ?`},
		{&s.spendToken, `INSERT INTO tokens (issuer, id, fingerprint, expires) VALUES (?, ?, ?, ?) ON CONFLICT (issuer, id) DO NOTHING`},
		{&s.spentToken, `SELECT fingerprint FROM tokens WHERE issuer = ? AND id = ?`},
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
