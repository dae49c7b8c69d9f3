package store

import (
	"context"
	"strings"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Request implements [signer.Store].
func (s *Store) Request(ctx context.Context, id string) (*signer.Request, error) {
	var files, signatures []byte
	row := s.readDB.QueryRowContext(ctx, `SELECT seq, record, files, file_signatures FROM requests WHERE id = ?`, id)
	r, err := scanRequest(row, &files, &signatures)
	if err != nil {
		return nil, sqlError(err)
	}
	return r, addFiles(r, files, signatures)
}

// Requests implements [signer.Store].
func (s *Store) Requests(ctx context.Context, f signer.Filter) ([]*signer.Request, error) {
	var where []string
	var args []any
	if len(f.States) > 0 {
		where = append(where, "state IN (?"+strings.Repeat(", ?", len(f.States)-1)+")")
		for _, st := range f.States {
			args = append(args, string(st))
		}
	}
	if f.AppID != "" {
		where, args = append(where, "app_id = ?"), append(args, f.AppID)
	}
	if f.Before > 0 {
		where, args = append(where, "seq < ?"), append(args, f.Before)
	}
	query := `SELECT seq, record FROM requests`
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	rows, err := s.readDB.QueryContext(ctx, query+" ORDER BY seq DESC LIMIT ?", append(args, min(limit, maxLimit))...)
	if err != nil {
		return nil, sqlError(err)
	}
	defer rows.Close()
	var out []*signer.Request
	for rows.Next() {
		r, err := scanRequest(rows)
		if err != nil {
			return nil, sqlError(err)
		}
		out = append(out, r)
	}
	return out, sqlError(rows.Err())
}

// Quarantined implements [signer.Store].
func (s *Store) Quarantined(ctx context.Context) (map[string]string, error) {
	return s.reasons(ctx, `SELECT key, reason FROM quarantine`)
}

// Disabled implements [signer.Store].
func (s *Store) Disabled(ctx context.Context) (map[string]string, error) {
	return s.reasons(ctx, `SELECT key, reason FROM disabled`)
}

// reasons reads keys with a reason each.
func (s *Store) reasons(ctx context.Context, query string) (map[string]string, error) {
	rows, err := s.readDB.QueryContext(ctx, query)
	if err != nil {
		return nil, sqlError(err)
	}
	defer rows.Close()
	out := make(map[string]string)
	for rows.Next() {
		var key, reason string
		if err := rows.Scan(&key, &reason); err != nil {
			return nil, sqlError(err)
		}
		out[key] = reason
	}
	return out, sqlError(rows.Err())
}

// Receipt implements [signer.Store].
func (s *Store) Receipt(ctx context.Context, index int64) (*audit.Receipt, error) {
	return s.log.receipt(ctx, index)
}

// Log implements [signer.Store].
func (s *Store) Log() audit.Reader { return s.log }
