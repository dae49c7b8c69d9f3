package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
)

// log checks the receipt of the result, if it has one, and that it is about this
// update. A delta update is then known to have the names that it was signed with.
func (r *report) log(v *verification) {
	const name = "log"
	if v.result == nil || v.result.Log == nil {
		if v.logKey != nil {
			r.add(name, checkFailed, "the result has no log receipt")
		}
		return
	}
	if r.digest == nil || v.delta != nil && r.files == nil {
		r.add(name, checkSkipped, "an earlier check failed")
		return
	}
	receipt, leaf, err := v.openReceipt()
	if err == nil {
		err = v.isRecorded(r, leaf)
	}
	if err != nil {
		r.add(name, checkFailed, "%v", err)
		return
	}
	by := "whose signature was not checked: no --log-key"
	if v.logKey != nil {
		by = "signed by " + v.logKey.Name()
	}
	r.add(name, checkOK, "entry %d records %s %s for channel %s; checkpoint %s", receipt.Index, leaf.AppID, leaf.Release, leaf.Channel, by)
}

func (v *verification) openReceipt() (*audit.Receipt, *audit.Leaf, error) {
	receipt, err := client.ParseReceipt(v.result.Log)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := client.VerifyReceipt(receipt, v.logKey)
	return receipt, leaf, err
}

// isRecorded reports whether a log entry is about what was verified.
func (v *verification) isRecorded(r *report, leaf *audit.Leaf) error {
	// All were read before by other checks.
	checksum, format, err := capgo.ParseChecksum(v.checksum)
	if err != nil {
		return err
	}
	wrapped, err := capgo.ParseWrappedKey(v.sessionKey)
	if err != nil {
		return err
	}
	recorded := client.Recorded{
		Request: v.result.RequestID, AppID: v.result.AppID, Channel: v.result.Channel, Version: v.result.Version,
		Digest: *r.digest, Format: format, Key: v.key, Checksum: checksum, SessionKey: wrapped.Wrapped,
	}
	if v.update != nil {
		recorded.Version = v.update.Version
	}
	if recorded.Files, err = v.recordedFiles(r, leaf); err != nil {
		return err
	}
	return recorded.Check(leaf)
}

// recordedFiles returns the signatures of the files in the order of the request,
// after it has seen that the entry has these names for them.
func (v *verification) recordedFiles(r *report, leaf *audit.Leaf) ([]capgo.Signature, error) {
	if v.delta == nil {
		return nil, nil
	}
	if leaf.Files == nil {
		return nil, fmt.Errorf("the entry is about a zip alone, without files of a delta update")
	}
	if leaf.Files.Count != len(r.files) {
		return nil, fmt.Errorf("the entry is about %d files, and the manifest has %d", leaf.Files.Count, len(r.files))
	}
	// A server may have sorted the manifest. Requests made with this program are
	// sorted by name.
	sorted := slices.SortedFunc(slices.Values(r.files), func(a, b plainFile) int { return strings.Compare(a.name, b.name) })
	for _, files := range [][]plainFile{r.files, sorted} {
		h := sha256.New()
		var sigs []capgo.Signature
		for _, f := range files {
			fmt.Fprintf(h, "%s %s\n", f.digest, f.name)
			sigs = append(sigs, f.signature)
		}
		if hex.EncodeToString(h.Sum(nil)) == leaf.Files.SHA256 {
			return sigs, nil
		}
	}
	return nil, fmt.Errorf("the entry is about other files, or the same under other names")
}
