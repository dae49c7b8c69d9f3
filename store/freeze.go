package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/bundlesign/bundlesign/signer"
)

const selectFreezes = `SELECT freeze FROM freezes WHERE lifted = 0 ORDER BY seq`

// Freezes implements [signer.Store].
func (s *Store) Freezes(ctx context.Context) ([]signer.Freeze, error) {
	rows, err := s.readDB.QueryContext(ctx, selectFreezes)
	if err != nil {
		return nil, sqlError(err)
	}
	out, err := scanFreezes(rows)
	return out, sqlError(err)
}

// Freezes implements [signer.Tx].
func (t *tx) Freezes() ([]signer.Freeze, error) {
	rows, err := t.stmt.freezes.QueryContext(t.ctx)
	if err != nil {
		return nil, t.fail(err)
	}
	out, err := scanFreezes(rows)
	if err != nil {
		return nil, t.fail(err)
	}
	return out, nil
}

// Freeze implements [signer.Tx].
func (t *tx) Freeze(id string) (*signer.Freeze, error) {
	var raw []byte
	if err := t.scan(t.stmt.freeze.QueryRowContext(t.ctx, id), &raw); err != nil {
		return nil, err
	}
	return decodeFreeze(raw)
}

// PutFreeze implements [signer.Tx].
func (t *tx) PutFreeze(f *signer.Freeze) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("store: encoding freeze %s: %w", f.ID, err)
	}
	return t.exec(t.stmt.putFreeze, f.ID, f.Lifted, raw)
}

func scanFreezes(rows *sql.Rows) (out []signer.Freeze, err error) {
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		f, err := decodeFreeze(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, *f)
	}
	return out, rows.Err()
}

func decodeFreeze(raw []byte) (*signer.Freeze, error) {
	var f signer.Freeze
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%w: a freeze: %w", signer.ErrStoreBroken, err)
	}
	return &f, nil
}
