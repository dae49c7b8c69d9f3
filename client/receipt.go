package client

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
)

// ParseReceipt reads a receipt as it crosses the socket. It checks nothing but
// the form.
func ParseReceipt(r *wire.Receipt) (*audit.Receipt, error) {
	proof := make(tlog.RecordProof, 0, len(r.Proof))
	for i, s := range r.Proof {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return nil, fmt.Errorf("log receipt: proof[%d]: found %s, want the base64 of a SHA-256", i, quote(s))
		}
		proof = append(proof, h)
	}
	return &audit.Receipt{
		Index:      r.Index,
		Entry:      []byte(r.Entry),
		Checkpoint: []byte(r.Checkpoint),
		Proof:      proof,
	}, nil
}

// VerifyReceipt checks a receipt and returns what its entry says. Without a
// logKey it is held against its own checkpoint only: that shows that it was not
// damaged, not who made it.
func VerifyReceipt(r *audit.Receipt, logKey note.Verifier) (*audit.Leaf, error) {
	if logKey != nil {
		if err := r.Verify(logKey); err != nil {
			return nil, err
		}
	} else {
		_, tree, err := audit.ReadCheckpoint(r.Checkpoint)
		if err != nil {
			return nil, err
		}
		if err := r.VerifyIn(tree); err != nil {
			return nil, err
		}
	}
	return audit.DecodeLeaf(r.Entry)
}

// Recorded is a signature that the log must have an entry about.
type Recorded struct {
	// Empty strings are not compared: a bundle alone does not tell them.
	Request, AppID, Channel, Version string

	Digest     capgo.Digest
	Format     capgo.ChecksumFormat
	Key        *capgo.PublicKey
	Checksum   capgo.Signature
	SessionKey capgo.Signature   // the wrapped key
	Files      []capgo.Signature // nil: not compared
}

// Check reports whether leaf says that r was signed.
func (r *Recorded) Check(leaf *audit.Leaf) error {
	for _, f := range []struct{ field, found, want string }{
		{"type", string(leaf.Type), string(audit.LeafSigned)},
		{"request", leaf.Request, r.Request},
		{"app_id", leaf.AppID, r.AppID},
		{"channel", leaf.Channel, r.Channel},
		{"version", leaf.Release, r.Version},
		{"digest", leaf.Digest, r.Digest.String()},
		{"checksum_format", leaf.Format, string(r.Format)},
		{"key_fingerprint", leaf.KeyFingerprint, r.Key.Fingerprint()},
		{"checksum_sha256", leaf.ChecksumSHA256, hashSignatures(r.Checksum)},
		{"session_key_sha256", leaf.SessionKeySHA256, hashSignatures(r.SessionKey)},
	} {
		if f.want != "" && f.found != f.want {
			return fmt.Errorf("%s of the entry: found %s, want %s", f.field, quote(f.found), quote(f.want))
		}
	}
	if len(r.Files) > 0 && leaf.FilesSHA256 != hashSignatures(r.Files...) {
		return errors.New("files_sha256 of the entry is not the hash of the files' signatures")
	}
	return nil
}

// hashSignatures returns the hex SHA-256 of signatures, as entries of the audit
// log have it.
func hashSignatures(sigs ...capgo.Signature) string {
	h := sha256.New()
	for i := range sigs {
		h.Write(sigs[i][:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
