package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// Reader gives read access to a committed log.
type Reader interface {
	// Checkpoint returns the newest signed checkpoint. A log without an
	// entry has one too.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Entries returns the encoded leaves with indexes in [from, to), which
	// must be in the log.
	Entries(ctx context.Context, from, to int64) ([][]byte, error)
	// Hashes returns a reader of the stored hashes of the tree, for proofs and
	// tiles. It is safe to use until ctx ends.
	Hashes(ctx context.Context) tlog.HashReader
}
