package clienttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
)

// Lie is a way in which the result of a request is wrong.
type Lie string

// The lies. Each is the only thing wrong with an answer.
const (
	ChecksumOfOther   Lie = "checksum-of-another-digest"
	ChecksumOtherKey  Lie = "checksum-by-another-key"
	ChecksumOtherForm Lie = "checksum-in-another-form"
	ForeignKey        Lie = "foreign-key" // key and all signatures: only a pin can tell
	PublicKeyMissing  Lie = "public-key-missing"
	SessionKeyOfOther Lie = "session-key-by-another-key"
	SessionKeySize    Lie = "session-key-of-32-bytes"
	SessionKeyMissing Lie = "session-key-missing"
	OtherApp          Lie = "another-app"
	OtherDigest       Lie = "another-digest"
	ReceiptMissing    Lie = "receipt-missing"
	ReceiptEdited     Lie = "receipt-entry-edited"
	ReceiptOfOther    Lie = "receipt-of-another-request"
	ReceiptNotSigned  Lie = "receipt-of-no-signature"
	ReceiptOtherLog   Lie = "receipt-of-another-log" // only a log key can tell
)

// Lies returns all of them.
func Lies() []Lie {
	return []Lie{
		ChecksumOfOther, ChecksumOtherKey, ChecksumOtherForm, ForeignKey, PublicKeyMissing,
		SessionKeyOfOther, SessionKeySize, SessionKeyMissing, OtherApp, OtherDigest,
		ReceiptMissing, ReceiptEdited, ReceiptOfOther, ReceiptNotSigned, ReceiptOtherLog,
	}
}

// rawSign is the private operation on any bytes, which the real daemon does not
// have (see capgo.Payload).
func rawSign(key *rsa.PrivateKey, payload []byte) capgo.Signature {
	b, err := rsa.SignPKCS1v15(nil, key, 0, payload)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return capgo.Signature(b)
}

// material is what is signed for a digest in one form.
func material(d capgo.Digest, f capgo.ChecksumFormat) []byte {
	p, err := capgo.ChecksumPayload(d, f)
	if err == nil {
		var b []byte
		if b, err = p.Material(nil); err == nil {
			return b
		}
	}
	panic(fmt.Sprintf("fake daemon: %v", err))
}

// sign brings a record to its end, with the lie that is in force.
func (d *FakeDaemon) sign(rec *record) {
	sig, lie := &rec.sig, d.faults.Lie
	digest, err := capgo.ParseDigest(sig.Digest)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	leaf := &audit.Leaf{
		Type: audit.LeafSigned, Time: time.Now(), Request: sig.ID,
		AppID: sig.AppID, Channel: sig.Channel, Release: sig.Version,
		Digest: digest.String(), Format: sig.ChecksumFormat, Files: summarize(sig.Files),
	}
	first, said := d.signBy(d.key, rec.keyName, digest, capgo.ChecksumFormat(sig.ChecksumFormat), sig.Files, lie)
	leaf.Key, leaf.KeyFingerprint = said.Key, said.KeyFingerprint
	leaf.ChecksumSHA256, leaf.SessionKeySHA256, leaf.FilesSHA256 = said.ChecksumSHA256, said.SessionKeySHA256, said.FilesSHA256
	for i := range sig.Also {
		k := &sig.Also[i]
		var also audit.AlsoKey
		*k, also = d.signBy(d.keyOf(k.Key), k.Key, digest, capgo.ChecksumFormat(k.ChecksumFormat), sig.Files, lie.ofAlso())
		leaf.Also = append(leaf.Also, also)
	}
	sig.State = "signed"
	sig.Key, sig.KeyID, sig.PublicKey = first.Key, first.KeyID, first.PublicKey
	sig.Checksum, sig.SessionKey, sig.Custody, sig.Files = first.Checksum, first.SessionKey, first.Custody, first.Files
	switch lie {
	case ReceiptOfOther:
		leaf.Request = "another"
	case ReceiptNotSigned:
		leaf.Type = audit.LeafAuthorized
	}
	d.lieAboutAlso(sig, leaf, lie)
	sig.Log = d.receipt(d.log.append(leaf), lie)
	switch lie {
	case ReceiptMissing:
		sig.Log = nil
	case ReceiptEdited:
		edited := *leaf
		edited.Reason = "edited"
		sig.Log.Entry = string(encode(&edited))
	case PublicKeyMissing:
		sig.PublicKey = ""
	case SessionKeyMissing:
		sig.SessionKey = ""
	case OtherApp:
		sig.AppID = "com.example.other"
	case OtherDigest:
		sig.Digest = capgo.Digest(sha256.Sum256([]byte("another"))).String()
	}
}

// signBy makes the result of one key, and what the log says of it.
func (d *FakeDaemon) signBy(key *rsa.PrivateKey, name string, digest capgo.Digest, format capgo.ChecksumFormat, files []wire.File, lie Lie) (wire.KeyResult, audit.AlsoKey) {
	if lie == ForeignKey {
		key = d.otherKey()
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	checksumKey, checksumDigest, checksumForm := key, digest, format
	switch lie {
	case ChecksumOfOther:
		checksumDigest = sha256.Sum256([]byte("another"))
	case ChecksumOtherKey:
		checksumKey = d.otherKey()
	case ChecksumOtherForm:
		checksumForm = capgo.FormatLegacy
		if format == capgo.FormatLegacy {
			checksumForm = capgo.FormatHex
		}
	}
	checksum := rawSign(checksumKey, material(checksumDigest, checksumForm))

	wrapKey, session := key, make([]byte, 16, 32)
	switch lie {
	case SessionKeyOfOther:
		wrapKey = d.otherKey()
	case SessionKeySize:
		session = session[:32]
	}
	_, _ = rand.Read(session)
	wrapped := capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: rawSign(wrapKey, session)}

	out := wire.KeyResult{
		Key: name, KeyID: public.KeyID(), PublicKey: public.PEM(), ChecksumFormat: string(format),
		Checksum: checksum.Checksum(checksumForm), SessionKey: wrapped.String(),
		Custody: &wire.Custody{Level: "software", Backend: "fake", Evidence: map[string]string{}},
	}
	var signatures []capgo.Signature
	for _, f := range files {
		fileDigest, err := capgo.ParseDigest(f.Digest)
		if err != nil {
			panic(fmt.Sprintf("fake daemon: %v", err))
		}
		s := rawSign(key, material(fileDigest, format))
		signatures = append(signatures, s)
		f.FileHash = s.Checksum(format)
		out.Files = append(out.Files, f)
	}
	said := audit.AlsoKey{
		Key: name, KeyFingerprint: public.Fingerprint(), Format: string(format),
		ChecksumSHA256: hashSignatures(checksum), SessionKeySHA256: hashSignatures(wrapped.Wrapped),
	}
	if len(signatures) > 0 {
		said.FilesSHA256 = hashSignatures(signatures...)
	}
	return out, said
}

// receipt proves entry index in the log as it is now.
func (d *FakeDaemon) receipt(index int64, lie Lie) *wire.Receipt {
	signer := d.signer
	if lie == ReceiptOtherLog {
		signer = d.other
	}
	checkpoint, err := audit.SignCheckpoint(d.log.tree(), signer)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	proof, err := tlog.ProveRecord(d.log.size(), index, d.log.reader())
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	r := &wire.Receipt{Index: index, Entry: string(d.log.entries[index]), Checkpoint: string(checkpoint), Proof: []string{}}
	for _, h := range proof {
		r.Proof = append(r.Proof, base64.StdEncoding.EncodeToString(h[:]))
	}
	return r
}

func hashSignatures(sigs ...capgo.Signature) string {
	h := sha256.New()
	for i := range sigs {
		h.Write(sigs[i][:])
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func encode(leaf *audit.Leaf) []byte {
	b, err := leaf.Encode()
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return b
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return b
}

// summarize stands for files in the log; no files is nil.
func summarize(files []wire.File) *audit.FilesSummary {
	if len(files) == 0 {
		return nil
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %s\n", strings.ToLower(f.Digest), f.FileName)
	}
	return &audit.FilesSummary{Count: len(files), SHA256: hex.EncodeToString(h.Sum(nil))}
}
