package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// encodeRecord is the stored form of a request without its files. Seq is its
// row's, not its own.
func encodeRecord(r *signer.Request) ([]byte, error) {
	c := *r
	c.Submission.Files = nil
	if c.Result != nil {
		result := *c.Result
		result.Files = nil
		c.Result = &result
	}
	b, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("store: encoding request %s: %w", r.ID, err)
	}
	return b, nil
}

// encodeFiles returns nil, which is NULL, for none.
func encodeFiles(files []signer.File) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(files)
	if err != nil {
		return nil, fmt.Errorf("store: encoding files: %w", err)
	}
	return b, nil
}

func encodeSignatures(r *signer.Request) []byte {
	if r.Result == nil || len(r.Result.Files) == 0 {
		return nil
	}
	out := make([]byte, 0, len(r.Result.Files)*capgo.SignatureSize)
	for i := range r.Result.Files {
		out = append(out, r.Result.Files[i][:]...)
	}
	return out
}

// addFiles puts back what encodeRecord left out.
func addFiles(r *signer.Request, files, signatures []byte) error {
	if len(files) > 0 {
		if err := json.Unmarshal(files, &r.Submission.Files); err != nil {
			return fmt.Errorf("%w: files of request %s: %w", signer.ErrStoreBroken, r.ID, err)
		}
	}
	if len(signatures) == 0 {
		return nil
	}
	if r.Result == nil || len(signatures) != len(r.Submission.Files)*capgo.SignatureSize {
		return fmt.Errorf("%w: request %s has %d bytes of signatures for %d files", signer.ErrStoreBroken, r.ID, len(signatures), len(r.Submission.Files))
	}
	for s := range slices.Chunk(signatures, capgo.SignatureSize) {
		r.Result.Files = append(r.Result.Files, capgo.Signature(s))
	}
	return nil
}

type scanner interface{ Scan(dest ...any) error }

// scanRequest reads the columns seq and record, and then those that more are for.
func scanRequest(row scanner, more ...any) (*signer.Request, error) {
	var seq int64
	var record []byte
	switch err := row.Scan(append([]any{&seq, &record}, more...)...); {
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
