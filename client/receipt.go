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

// Recorded is the result of one key that the log must have an entry about.
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

// Check reports whether leaf says that r was signed. The entry of a request with
// several keys says so of the result of each; what it says of the others is not
// compared.
func (r *Recorded) Check(leaf *audit.Leaf) error {
	said := saidOf(leaf)
	for _, by := range said[1:] {
		if by.KeyFingerprint == r.Key.Fingerprint() && said[0].KeyFingerprint != by.KeyFingerprint {
			return r.check(leaf, by)
		}
	}
	return r.check(leaf, said[0])
}

// checkLeaf reports whether leaf says that these results were signed, in this order,
// and no others.
func checkLeaf(leaf *audit.Leaf, recorded []Recorded) error {
	said := saidOf(leaf)
	if len(said) != len(recorded) {
		return fmt.Errorf("the entry is about %d keys, want %d", len(said), len(recorded))
	}
	for i := range recorded {
		if err := recorded[i].check(leaf, said[i]); err != nil {
			return err
		}
	}
	return nil
}

// saidOf is what an entry says of each key, the first one first.
func saidOf(leaf *audit.Leaf) []audit.AlsoKey {
	return append([]audit.AlsoKey{{
		Key: leaf.Key, KeyFingerprint: leaf.KeyFingerprint, Format: leaf.Format,
		ChecksumSHA256: leaf.ChecksumSHA256, SessionKeySHA256: leaf.SessionKeySHA256, FilesSHA256: leaf.FilesSHA256,
	}}, leaf.Also...)
}

// check reports whether leaf says that r was signed, by one of its keys.
func (r *Recorded) check(leaf *audit.Leaf, by audit.AlsoKey) error {
	for _, f := range []struct{ field, found, want string }{
		{"type", string(leaf.Type), string(audit.LeafSigned)},
		{"request", leaf.Request, r.Request},
		{"app_id", leaf.AppID, r.AppID},
		{"channel", leaf.Channel, r.Channel},
		{"version", leaf.Release, r.Version},
		{"digest", leaf.Digest, r.Digest.String()},
		{"checksum_format", by.Format, string(r.Format)},
		{"key_fingerprint", by.KeyFingerprint, r.Key.Fingerprint()},
		{"checksum_sha256", by.ChecksumSHA256, hashSignatures(r.Checksum)},
		{"session_key_sha256", by.SessionKeySHA256, hashSignatures(r.SessionKey)},
	} {
		if f.want != "" && f.found != f.want {
			return fmt.Errorf("%s of the entry: found %s, want %s", f.field, quote(f.found), quote(f.want))
		}
	}
	if len(r.Files) > 0 && by.FilesSHA256 != hashSignatures(r.Files...) {
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
