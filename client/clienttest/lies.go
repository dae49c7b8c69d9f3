package clienttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
func (d *FakeDaemon) sign(sig *wire.Signature) {
	lie := d.faults.Lie
	digest, err := capgo.ParseDigest(sig.Digest)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	format := capgo.ChecksumFormat(sig.ChecksumFormat)
	key := d.key
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

	sig.State = "signed"
	sig.Key, sig.KeyID, sig.PublicKey = "fake", public.KeyID(), public.PEM()
	sig.Checksum, sig.SessionKey = checksum.Checksum(checksumForm), wrapped.String()
	sig.Custody = &wire.Custody{Level: "software", Backend: "fake", Evidence: map[string]string{}}
	var files []capgo.Signature
	for i, f := range sig.Files {
		fileDigest, err := capgo.ParseDigest(f.Digest)
		if err != nil {
			panic(fmt.Sprintf("fake daemon: %v", err))
		}
		s := rawSign(key, material(fileDigest, format))
		files = append(files, s)
		sig.Files[i].FileHash = s.Checksum(format)
	}
	leaf := &audit.Leaf{
		Type: audit.LeafSigned, Time: time.Now(), Request: sig.ID,
		AppID: sig.AppID, Channel: sig.Channel, Release: sig.Version,
		Digest: digest.String(), Format: sig.ChecksumFormat,
		Key: sig.Key, KeyFingerprint: public.Fingerprint(),
		ChecksumSHA256: hashSignatures(checksum), SessionKeySHA256: hashSignatures(wrapped.Wrapped),
	}
	if len(files) > 0 {
		leaf.FilesSHA256 = hashSignatures(files...)
	}
	switch lie {
	case ReceiptOfOther:
		leaf.Request = "another"
	case ReceiptNotSigned:
		leaf.Type = audit.LeafAuthorized
	}
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
