package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/signer"
)

// encodeRecord is the stored form of a request. Seq is its row's, not its own.
func encodeRecord(r *signer.Request) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("store: encoding request %s: %w", r.ID, err)
	}
	return b, nil
}

type scanner interface{ Scan(dest ...any) error }

// scanRequest reads the columns seq and record.
func scanRequest(row scanner) (*signer.Request, error) {
	var seq int64
	var record []byte
	switch err := row.Scan(&seq, &record); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, signer.ErrNotFound
	case err != nil:
		return nil, err
	}
	var r signer.Request
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, fmt.Errorf("%w: request in row %d: %w", signer.ErrStoreBroken, seq, err)
	}
	r.Seq = seq
	return &r, nil
}
