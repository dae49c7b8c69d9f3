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
		result.Also = slices.Clone(result.Also)
		for i := range result.Also {
			result.Also[i].Files = nil
		}
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

// encodeSignatures puts the files' signatures of all keys behind each other, in the
// order of the keys.
func encodeSignatures(r *signer.Request) []byte {
	if r.Result == nil || len(r.Result.Files) == 0 {
		return nil
	}
	out := make([]byte, 0, (1+len(r.Result.Also))*len(r.Result.Files)*capgo.SignatureSize)
	for _, k := range keyResults(r.Result) {
		for i := range k.Files {
			out = append(out, k.Files[i][:]...)
		}
	}
	return out
}

// keyResults are what each key made, the first one first.
func keyResults(r *signer.Result) []*signer.KeyResult {
	out := []*signer.KeyResult{&r.KeyResult}
	for i := range r.Also {
		out = append(out, &r.Also[i])
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
	each := len(r.Submission.Files) * capgo.SignatureSize
	if r.Result == nil || each == 0 || len(signatures) != (1+len(r.Result.Also))*each {
		return fmt.Errorf("%w: request %s has %d bytes of signatures for %d files", signer.ErrStoreBroken, r.ID, len(signatures), len(r.Submission.Files))
	}
	for i, k := range keyResults(r.Result) {
		for s := range slices.Chunk(signatures[i*each:(i+1)*each], capgo.SignatureSize) {
			k.Files = append(k.Files, capgo.Signature(s))
		}
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
