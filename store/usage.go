package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Files implements [signer.Tx].
func (t *tx) Files(id string) ([]signer.File, error) {
	var raw []byte
	if err := t.scan(t.stmt.files.QueryRowContext(t.ctx, id), &raw); err != nil {
		return nil, err
	}
	var r signer.Request
	err := addFiles(&r, raw, nil)
	return r.Submission.Files, err
}

// Pending implements [signer.Tx].
func (t *tx) Pending() ([]*signer.Request, error) { return t.many(t.stmt.pending) }

// Authorized implements [signer.Tx].
func (t *tx) Authorized(app, channel string) ([]*signer.Request, error) {
	return t.many(t.stmt.authorized, app, channel)
}

// PendingOf implements [signer.Tx].
func (t *tx) PendingOf(uid uint32) (n int, err error) {
	err = t.scan(t.stmt.pendingOf.QueryRowContext(t.ctx, int64(uid)), &n)
	return n, err
}

// Use implements [signer.Tx].
func (t *tx) Use(u signer.Use) error {
	if err := t.exec(t.stmt.purgeUses, u.At.Add(-longestLimit).UnixMicro()); err != nil {
		return err
	}
	return t.exec(t.stmt.use, u.Request, u.At.UnixMicro(), u.Rule, u.App, u.Account)
}

// Uses implements [signer.Tx].
func (t *tx) Uses(scope policy.Scope, value string, since time.Time) (n int, err error) {
	stmt := map[policy.Scope]*sql.Stmt{
		policy.PerRule: t.stmt.usesByRule, policy.PerApp: t.stmt.usesByApp, policy.PerRequester: t.stmt.usesByAccount,
	}[scope]
	if stmt == nil {
		return 0, fmt.Errorf("store: unknown scope %q", scope)
	}
	err = t.scan(stmt.QueryRowContext(t.ctx, value, since.UnixMicro()), &n)
	return n, err
}

// Head implements [signer.Tx].
func (t *tx) Head(app, channel string) (h signer.Head, err error) {
	var raw []byte
	err = t.scan(t.stmt.head.QueryRowContext(t.ctx, app, channel), &raw)
	if errors.Is(err, signer.ErrNotFound) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, fmt.Errorf("%w: what was signed for %s on %s: %w", signer.ErrStoreBroken, app, channel, err)
	}
	return h, nil
}

// SetHead implements [signer.Tx].
func (t *tx) SetHead(app, channel string, h signer.Head) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("store: encoding what was signed for %s: %w", app, err)
	}
	return t.exec(t.stmt.setHead, app, channel, raw)
}

// SpendToken implements [signer.Tx].
func (t *tx) SpendToken(token *policy.Token, fingerprint string, now time.Time) (first string, err error) {
	if err := t.exec(t.stmt.purgeTokens, now.Add(-tokenGrace).UnixMicro()); err != nil {
		return "", err
	}
	if err := t.exec(t.stmt.spendToken, token.Issuer, token.ID, fingerprint, token.Expires.UnixMicro()); err != nil {
		return "", err
	}
	err = t.scan(t.stmt.spentToken.QueryRowContext(t.ctx, token.Issuer, token.ID), &first)
	return first, err
}

// longestLimit is for how long a use counts: 367 days, a day more than the longest
// span of time of a limit.
const longestLimit = 367 * 24 * time.Hour

// tokenGrace is for how long an expired token is remembered: clocks differ.
const tokenGrace = time.Hour

func (t *tx) exec(stmt *sql.Stmt, args ...any) error {
	if _, err := stmt.ExecContext(t.ctx, args...); err != nil {
		return t.fail(err)
	}
	return nil
}

// scan reads one row, or fails with [signer.ErrNotFound].
func (t *tx) scan(row *sql.Row, dest ...any) error {
	err := row.Scan(dest...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return signer.ErrNotFound
	case err != nil:
		return t.fail(err)
	}
	return nil
}

// many reads requests without their files.
func (t *tx) many(stmt *sql.Stmt, args ...any) (out []*signer.Request, err error) {
	rows, err := stmt.QueryContext(t.ctx, args...)
	if err != nil {
		return nil, t.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRequest(rows)
		if err != nil {
			return nil, t.fail(err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, t.fail(err)
	}
	return out, nil
}
