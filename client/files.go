package client

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
)

// CheckFiles holds the list of files of a pending request against its statement,
// which people sign and which binds it: the list that a person is shown must be
// the one that would be signed. The statement must have passed [CheckStatement].
// An error is an [*UntrustedError].
func CheckFiles(sig *wire.Signature) error {
	found, err := summarize(sig.Files)
	if err != nil {
		return err
	}
	said := ""
	switch lines := values(sig.Statement, "files"); len(lines) {
	case 0:
	case 1:
		said = lines[0]
	default:
		return untrusted("statement", "found %d lines %q, want at most one", len(lines), "files")
	}
	shown := ""
	if found != nil {
		shown = fmt.Sprintf("%d, sha256:%s", found.Count, found.SHA256)
	}
	if said != shown {
		return untrusted("files", "those of the answer are %s, but the statement says %s", orNone(shown), orNone(said))
	}
	return nil
}

// CheckSignedFiles holds the list of files of a signed request against its entry in
// the audit log, which must be about that request; without a logKey that shows only
// that the answer fits itself, see [VerifyReceipt]. An error is an
// [*UntrustedError].
func CheckSignedFiles(sig *wire.Signature, logKey note.Verifier) error {
	found, err := summarize(sig.Files)
	if err != nil {
		return err
	}
	_, leaf, err := checkReceipt(sig, logKey)
	if err != nil {
		return err
	}
	for _, f := range []struct{ field, found, want string }{
		{"type", string(leaf.Type), string(audit.LeafSigned)},
		{"request", leaf.Request, sig.ID},
		{"app_id", leaf.AppID, sig.AppID},
		{"channel", leaf.Channel, sig.Channel},
		{"version", leaf.Release, sig.Version},
		{"digest", leaf.Digest, strings.ToLower(sig.Digest)},
	} {
		if f.found != f.want {
			return untrusted("log", "%s of the entry: found %s, want %s", f.field, quote(f.found), quote(f.want))
		}
	}
	if found == nil && leaf.Files == nil || found != nil && leaf.Files != nil && *found == *leaf.Files {
		return nil
	}
	return untrusted("files", "those of request %s are not those of its entry in the log", quote(sig.ID))
}

// summarize stands for files as statements and the log do; no files is nil.
func summarize(files []wire.File) (*audit.FilesSummary, error) {
	if len(files) == 0 {
		return nil, nil
	}
	h := sha256.New()
	seen := make(map[string]bool, len(files))
	for i, f := range files {
		digest, err := capgo.ParseDigest(f.Digest)
		if err != nil {
			return nil, &UntrustedError{fmt.Sprintf("files[%d]", i), err}
		}
		if seen[f.FileName] {
			return nil, untrusted("files", "%s is there twice", quote(f.FileName))
		}
		seen[f.FileName] = true
		fmt.Fprintf(h, "%s %s\n", digest, f.FileName)
	}
	return &audit.FilesSummary{Count: len(files), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return quote(s)
}
