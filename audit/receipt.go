package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Receipt proves that one entry is in the log.
type Receipt struct {
	Index      int64
	Entry      []byte           // the encoded leaf
	Checkpoint []byte           // signed note of a tree that holds it
	Proof      tlog.RecordProof // audit path, RFC 6962 section 2.1.1
}

// Verify checks the receipt with the log's public key alone.
func (r *Receipt) Verify(verifier note.Verifier) error {
	tree, err := OpenCheckpoint(r.Checkpoint, verifier)
	if err != nil {
		return err
	}
	return r.VerifyIn(tree)
}

// VerifyIn checks that the entry is in tree.
func (r *Receipt) VerifyIn(tree tlog.Tree) error {
	if r.Index < 0 || r.Index >= tree.N {
		return fmt.Errorf("log receipt: index %d is not in a tree of %d entries", r.Index, tree.N)
	}
	if err := tlog.CheckRecord(r.Proof, tree.N, tree.Hash, r.Index, tlog.RecordHash(r.Entry)); err != nil {
		return errors.New("log receipt: the proof does not lead from the entry to the checkpoint: entry, proof or checkpoint was changed")
	}
	return nil
}
