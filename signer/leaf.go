package signer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
)

// maxLeafGroups is how many of the requester's groups an entry names.
const maxLeafGroups = 64

// requestLeaf is the log entry for a request's move to the state it is in now.
func requestLeaf(r *Request, typ audit.LeafType, now time.Time) (*audit.Leaf, error) {
	s := &r.Submission
	leaf := &audit.Leaf{
		Type: typ, Time: now,
		Request: r.ID, AppID: s.AppID, Channel: s.Channel, Release: s.Version,
		Digest: s.Digest.String(), Format: string(s.Format), Files: r.files(),
		Key: r.Key, KeyFingerprint: r.KeyFingerprint, BreakGlass: s.BreakGlass,
	}
	for i, k := range r.Also {
		leaf.Also = append(leaf.Also, audit.AlsoKey{Key: k.Key, KeyFingerprint: k.KeyFingerprint, Format: string(s.Also[i].Format)})
	}
	if len(s.Labels) > 0 {
		var labels bytes.Buffer
		enc := json.NewEncoder(&labels) // sorts the names
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s.Labels); err != nil {
			return nil, fmt.Errorf("labels of request %s: %w", r.ID, err)
		}
		leaf.Labels = labels.Bytes()
	}
	switch typ {
	case audit.LeafAuthorized, audit.LeafDenied, audit.LeafPending:
		who := r.Requester
		who.Groups = who.Groups[:min(len(who.Groups), maxLeafGroups)]
		leaf.Requester, leaf.Decision = &who, &r.Decision
		switch typ {
		case audit.LeafPending:
			leaf.Statement, leaf.Reason = r.Statement, r.Note
		case audit.LeafAuthorized:
			leaf.Approvals = unsigned(r.Approvals)
		}
	case audit.LeafApproved:
		leaf.Approval = &r.Approvals[len(r.Approvals)-1]
	case audit.LeafRejected:
		leaf.Approval, leaf.Reason = r.Rejection, r.Reason
	case audit.LeafSigned:
		leaf.Custody = r.Result.Custody
		leaf.ChecksumSHA256, leaf.SessionKeySHA256, leaf.FilesSHA256 = r.Result.hashes()
		for i := range leaf.Also {
			also := &leaf.Also[i]
			also.Custody = r.Result.Also[i].Custody
			also.ChecksumSHA256, also.SessionKeySHA256, also.FilesSHA256 = r.Result.Also[i].hashes()
		}
	default:
		leaf.Reason = r.Reason
	}
	return leaf, nil
}

// hashes stand for what a key made in the log.
func (k *KeyResult) hashes() (checksum, sessionKey, files string) {
	if len(k.Files) > 0 {
		files = hashSignatures(k.Files...)
	}
	return hashSignatures(k.Checksum), hashSignatures(k.SessionKey.Wrapped), files
}

// unsigned leaves the signatures out: each is in the entry about its approval, and
// together they might not fit into one.
func unsigned(approvals []policy.Approval) []policy.Approval {
	out := slices.Clone(approvals)
	for i := range out {
		out[i].SSHSIG = ""
	}
	return out
}

// files stands for the request's files in the log. A record of an earlier release
// has no digest of them, and they may not be at hand.
func (r *Request) files() *audit.FilesSummary {
	if r.FilesSHA256 == "" {
		return summarize(r.Submission.Files)
	}
	return &audit.FilesSummary{Count: r.FileCount, SHA256: r.FilesSHA256}
}

// summarize stands for files in the log, see [audit.FilesSummary].
func summarize(files []File) *audit.FilesSummary {
	if len(files) == 0 {
		return nil
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %s\n", f.Digest, f.Name)
	}
	return &audit.FilesSummary{Count: len(files), SHA256: hex.EncodeToString(h.Sum(nil))}
}

func hashSignatures(sigs ...capgo.Signature) string {
	h := sha256.New()
	for i := range sigs {
		h.Write(sigs[i][:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
