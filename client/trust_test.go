package client

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

func logKeyOf(t *testing.T, d *clienttest.FakeDaemon) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(d.LogKey())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func deltaSubmission(format capgo.ChecksumFormat) *wire.Submit {
	sub := submission()
	sub.ChecksumFormat = string(format)
	sub.Files = []wire.SubmitFile{
		{FileName: "index.html", Digest: capgo.Digest(sha256.Sum256([]byte("1"))).String()},
		{FileName: "main.js.br", Digest: capgo.Digest(sha256.Sum256([]byte("2"))).String()},
	}
	return sub
}

func TestCheckSignedAcceptsAnHonestAnswer(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	d.Grow(5)
	for _, format := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
		sub := deltaSubmission(format)
		sub.Digest = strings.ToUpper(sub.Digest)
		sig, err := c.SubmitAndWait(t.Context(), sub, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := CheckSigned(sig, Expect{Submit: sub, PublicKey: d.PublicKey(), LogKey: logKeyOf(t, d)})
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if s.Checksum != sig.Checksum || s.Wrapped.String() != sig.SessionKey || len(s.Files) != 2 || s.Leaf.Request != sig.ID {
			t.Errorf("%s: what was checked is not what was answered: %+v", format, s)
		}
	}
}

func TestCheckSignedFindsEveryLie(t *testing.T) {
	want := map[clienttest.Lie]string{
		clienttest.ChecksumOfOther:   "checksum: ",
		clienttest.ChecksumOtherKey:  "checksum: ",
		clienttest.ChecksumOtherForm: "checksum: ",
		clienttest.ForeignKey:        "public_key: ",
		clienttest.PublicKeyMissing:  "public_key: ",
		clienttest.SessionKeyOfOther: "session_key: ",
		clienttest.SessionKeySize:    "session_key: session key signature: found 32 bytes inside, want 16",
		clienttest.SessionKeyMissing: "session_key: ",
		clienttest.OtherApp:          "app_id: ",
		clienttest.OtherDigest:       "digest: ",
		clienttest.ReceiptMissing:    "log: found no receipt",
		clienttest.ReceiptEdited:     "log: log receipt: the proof",
		clienttest.ReceiptOfOther:    "log: request of the entry",
		clienttest.ReceiptNotSigned:  "log: type of the entry",
		clienttest.ReceiptOtherLog:   "log: checkpoint: not signed by log",
	}
	d, c, _ := startFake(t, clienttest.Faults{})
	d.Grow(3)
	for _, lie := range clienttest.Lies() {
		t.Run(string(lie), func(t *testing.T) {
			d.SetFaults(clienttest.Faults{Lie: lie})
			sub := submission()
			sig, err := c.SubmitAndWait(t.Context(), sub, string(lie))
			if err != nil {
				t.Fatal(err)
			}
			_, err = CheckSigned(sig, Expect{Submit: sub, PublicKey: d.PublicKey(), LogKey: logKeyOf(t, d)})
			var found *UntrustedError
			if !errors.As(err, &found) {
				t.Fatalf("found %v, want an UntrustedError", err)
			}
			if part := strings.TrimPrefix(err.Error(), "the daemon's answer is not to be trusted: "); !strings.HasPrefix(part, want[lie]) {
				t.Errorf("found %q, want it to begin with %q", part, want[lie])
			}
		})
	}
}

func TestCheckSignedWithoutPinsSeesAllButForeignKeys(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	for _, lie := range clienttest.Lies() {
		d.SetFaults(clienttest.Faults{Lie: lie})
		sub := submission()
		sig, err := c.SubmitAndWait(t.Context(), sub, string(lie))
		if err != nil {
			t.Fatal(err)
		}
		_, err = CheckSigned(sig, Expect{Submit: sub})
		undetectable := lie == clienttest.ForeignKey || lie == clienttest.ReceiptOtherLog
		if (err == nil) != undetectable {
			t.Errorf("%s: found error %v", lie, err)
		}
	}
}

func TestCheckSignedHoldsFilesAgainstWhatWasAsked(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	sub := deltaSubmission(capgo.FormatHex)
	for name, change := range map[string]func(*wire.Signature){
		"one is missing": func(s *wire.Signature) { s.Files = s.Files[:1] },
		"swapped":        func(s *wire.Signature) { s.Files[0], s.Files[1] = s.Files[1], s.Files[0] },
		"another name":   func(s *wire.Signature) { s.Files[0].FileName = "evil.js" },
		"hashes swapped": func(s *wire.Signature) {
			s.Files[0].FileHash, s.Files[1].FileHash = s.Files[1].FileHash, s.Files[0].FileHash
		},
		"not signed":          func(s *wire.Signature) { s.Files[0].FileHash = "" },
		"hash is the digest":  func(s *wire.Signature) { s.Files[0].FileHash = s.Files[0].Digest },
		"hash of the bundle":  func(s *wire.Signature) { s.Files[0].FileHash = s.Checksum },
		"proof is not base64": func(s *wire.Signature) { s.Log.Proof = []string{"?"} },
	} {
		sig, err := c.SubmitAndWait(t.Context(), sub, name)
		if err != nil {
			t.Fatal(err)
		}
		change(sig)
		_, err = CheckSigned(sig, Expect{Submit: sub, PublicKey: d.PublicKey()})
		var found *UntrustedError
		if !errors.As(err, &found) {
			t.Errorf("%s: found %v, want an UntrustedError", name, err)
		}
	}
}
