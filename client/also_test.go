package client

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

// twoKeys is a submission to be signed with an old key and a new one.
func twoKeys() *wire.Submit {
	sub := deltaSubmission(capgo.FormatLegacy)
	sub.Also = []wire.AlsoKey{{Key: "new", ChecksumFormat: "hex"}}
	return sub
}

func TestCheckSignedGivesAResultForEachKey(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	sub := twoKeys()
	sub.Key = "old"
	sub.Also = append(sub.Also, wire.AlsoKey{Key: "newest"}) // in the form of the request
	sig, err := c.SubmitAndWait(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	pins := []*capgo.PublicKey{d.PublicKeyOf("new"), d.PublicKeyOf("newest")}
	for name, expect := range map[string]Expect{
		"all pinned":   {Submit: sub, PublicKey: d.PublicKey(), AlsoKeys: pins, LogKey: logKeyOf(t, d)},
		"one pinned":   {Submit: sub, AlsoKeys: []*capgo.PublicKey{nil, pins[1]}},
		"first pinned": {Submit: sub, PublicKey: d.PublicKey()},
	} {
		s, err := CheckSigned(sig, expect)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Also) != 2 || len(s.Files) != 2 {
			t.Fatalf("%s: found %d further results", name, len(s.Also))
		}
		for i, also := range s.Also {
			found := sig.Also[i]
			if !also.PublicKey.Equal(pins[i]) || also.Checksum != found.Checksum || also.Wrapped.String() != found.SessionKey || len(also.Files) != 2 {
				t.Errorf("%s: what was checked is not what was answered: %+v", name, also)
			}
		}
		if s.Also[0].Checksum == s.Also[1].Checksum || s.Also[0].Wrapped == s.Wrapped {
			t.Errorf("%s: two keys have the same result", name)
		}
	}
	for name, pins := range map[string][]*capgo.PublicKey{
		"swapped": {pins[1], pins[0]}, "the first's": {d.PublicKey(), nil}, "too many": append(slices.Clone(pins), pins[0]),
	} {
		if _, err := CheckSigned(sig, Expect{Submit: sub, PublicKey: d.PublicKey(), AlsoKeys: pins}); err == nil {
			t.Errorf("%s: pins are not held against the answer", name)
		}
	}
}

func TestCheckSignedFindsEveryLieAboutAFurtherKey(t *testing.T) {
	want := map[clienttest.Lie]string{
		clienttest.AlsoChecksumOfOther:   "also[0].checksum: ",
		clienttest.AlsoChecksumOtherKey:  "also[0].checksum: ",
		clienttest.AlsoChecksumOtherForm: "also[0].checksum: found the legacy form",
		clienttest.AlsoForeignKey:        "also[0].public_key: found the key",
		clienttest.AlsoPublicKeyMissing:  "also[0].public_key: ",
		clienttest.AlsoSessionKeyOfOther: "also[0].session_key: ",
		clienttest.AlsoSessionKeySize:    "also[0].session_key: session key signature: found 32 bytes inside, want 16",
		clienttest.AlsoSessionKeyMissing: "also[0].session_key: ",
		clienttest.AlsoMissing:           "also: found results of 0 further keys, asked for 1",
		clienttest.AlsoTwice:             "also: found results of 2 further keys, asked for 1",
		clienttest.AlsoAnotherName:       `also[0].key: found "another", asked for "new"`,
		clienttest.AlsoFirstKey:          "also[0].", // the form, if the forms differ, or else the key
		clienttest.AlsoFilesOfFirst:      "also[0].files[0]: ",
		clienttest.AlsoNotRecorded:       "log: the entry is about 1 keys, want 2",
		clienttest.AlsoOtherRecorded:     "log: checksum_sha256 of the entry",
		clienttest.AlsoMoreRecorded:      "log: the entry is about 3 keys, want 2",
	}
	d, c, _ := startFake(t, clienttest.Faults{})
	for _, lie := range clienttest.AlsoLies() {
		for _, form := range []string{"hex", "legacy"} {
			d.SetFaults(clienttest.Faults{Lie: lie})
			sub := twoKeys()
			sub.ChecksumFormat = form
			sig, err := c.SubmitAndWait(t.Context(), sub, string(lie)+form)
			if err != nil {
				t.Fatal(err)
			}
			_, err = CheckSigned(sig, Expect{Submit: sub, PublicKey: d.PublicKey(), AlsoKeys: []*capgo.PublicKey{d.PublicKeyOf("new")}, LogKey: logKeyOf(t, d)})
			var found *UntrustedError
			if !errors.As(err, &found) {
				t.Errorf("%s, %s: found %v, want an UntrustedError", lie, form, err)
				continue
			}
			if part := strings.TrimPrefix(err.Error(), "the daemon's answer is not to be trusted: "); !strings.HasPrefix(part, want[lie]) || want[lie] == "" {
				t.Errorf("%s, %s: found %q, want it to begin with %q", lie, form, part, want[lie])
			}
			// Without a pin it is only known that the answer fits itself.
			if _, err = CheckSigned(sig, Expect{Submit: sub}); (err == nil) != (lie == clienttest.AlsoForeignKey) {
				t.Errorf("%s, %s, without pins: found %v", lie, form, err)
			}
		}
	}
	// One key under two names, in the same form: only the comparison of keys can tell.
	d.SetFaults(clienttest.Faults{Lie: clienttest.AlsoFirstKey})
	sub := twoKeys()
	sub.ChecksumFormat = "hex"
	sig, err := c.SubmitAndWait(t.Context(), sub, "same")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = CheckSigned(sig, Expect{Submit: sub}); err == nil || !strings.Contains(err.Error(), "asked for different keys") {
		t.Errorf("found %v, want that both results are of one key", err)
	}
	// What nobody asked for is not in the log either.
	d.SetFaults(clienttest.Faults{Lie: clienttest.AlsoMoreRecorded})
	one := submission()
	if sig, err = c.SubmitAndWait(t.Context(), one, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err = CheckSigned(sig, Expect{Submit: one}); err == nil || !strings.Contains(err.Error(), "the entry is about 2 keys, want 1") {
		t.Errorf("found %v, want that a key which nobody asked for is found in the entry", err)
	}
}

func TestCheckSignedHoldsTheNameOfTheFirstKeyAgainstWhatWasAsked(t *testing.T) {
	_, c, _ := startFake(t, clienttest.Faults{})
	sub := submission()
	sub.Key = "old"
	sig, err := c.SubmitAndWait(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckSigned(sig, Expect{Submit: sub}); err != nil {
		t.Error(err)
	}
	sub.Key = "other"
	if _, err := CheckSigned(sig, Expect{Submit: sub}); err == nil {
		t.Error("another key than was asked for is taken")
	}
}

// The result of each key stands alone: who has one of them can find it in the log.
func TestRecordedIsOneOfTheKeysOfAnEntry(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	sub := twoKeys()
	sig, err := c.SubmitAndWait(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := CheckSigned(sig, Expect{Submit: sub})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := capgo.ParseDigest(sub.Digest)
	if err != nil {
		t.Fatal(err)
	}
	checksum, _, err := capgo.ParseChecksum(s.Also[0].Checksum)
	if err != nil {
		t.Fatal(err)
	}
	second := Recorded{
		Request: sig.ID, Digest: digest, Format: capgo.FormatHex, Key: d.PublicKeyOf("new"),
		Checksum: checksum, SessionKey: s.Also[0].Wrapped.Wrapped, Files: s.Also[0].Files,
	}
	if err := second.Check(s.Leaf); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Recorded){
		"another request":      func(r *Recorded) { r.Request = "another" },
		"another digest":       func(r *Recorded) { r.Digest[0] ^= 1 },
		"the first's form":     func(r *Recorded) { r.Format = capgo.FormatLegacy },
		"the first's key":      func(r *Recorded) { r.Key = d.PublicKey() },
		"a key of none":        func(r *Recorded) { r.Key = d.PublicKeyOf("stranger") },
		"the first's session":  func(r *Recorded) { r.SessionKey = s.Wrapped.Wrapped },
		"the first's files":    func(r *Recorded) { r.Files = s.Files },
		"one file only":        func(r *Recorded) { r.Files = r.Files[:1] },
		"a signature of files": func(r *Recorded) { r.Checksum = r.Files[0] },
	} {
		r := second
		change(&r)
		if err := r.Check(s.Leaf); err == nil {
			t.Errorf("%s: the entry is taken for it", name)
		}
	}
}

func TestStatementNamesEveryKey(t *testing.T) {
	d, _, _ := startFake(t, clienttest.Faults{})
	old, next := d.PublicKey(), d.PublicKeyOf("new")
	several := func() *wire.Signature {
		sig := pending()
		sig.Key, sig.PublicKey, sig.ChecksumFormat = "old", old.PEM(), "legacy"
		sig.Also = []wire.KeyResult{{Key: "new", PublicKey: next.PEM(), ChecksumFormat: "hex"}}
		sig.Statement = strings.Replace(sig.Statement, "approval v1", "approval v2", 1)
		sig.Statement = strings.Replace(sig.Statement, "label: commit", "checksum format: legacy\nkey: old, "+old.Fingerprint()+
			"\nalso key: new, "+next.Fingerprint()+", checksum format hex\nlabel: commit", 1)
		return sig
	}
	if text, err := CheckStatement(several()); err != nil || text != several().Statement {
		t.Fatalf("found %q, %v", text, err)
	}
	replace := func(old, text string) func(*wire.Signature) {
		return func(s *wire.Signature) { s.Statement = strings.Replace(s.Statement, old, text, 1) }
	}
	line := "also key: new, " + next.Fingerprint() + ", checksum format hex\n"
	for name, c := range map[string]struct {
		change func(*wire.Signature)
		want   string
	}{
		"the form for one key":     {replace("approval v2", "approval v1"), `want "bundlesign approval v2"`},
		"a key is hushed up":       {replace(line, ""), "it names 0 further keys, but the rest of the answer 1"},
		"a key is added":           {replace(line, line+line), "it names 2 further keys"},
		"the answer hushes it up":  {func(s *wire.Signature) { s.Also = nil }, `want "bundlesign approval v1"`},
		"another name":             {replace("also key: new", "also key: newer"), "it says also key"},
		"another key":              {replace(next.Fingerprint(), old.Fingerprint()), "it says also key"},
		"another form":             {replace("format hex", "format legacy"), "it says also key"},
		"another first key":        {replace("key: old, "+old.Fingerprint(), "key: old, "+next.Fingerprint()), "it says key"},
		"another first form":       {replace("checksum format: legacy", "checksum format: hex"), "it says checksum format"},
		"the answer swaps the key": {func(s *wire.Signature) { s.Also[0].PublicKey = old.PEM() }, "it says also key"},
		"a broken public key":      {func(s *wire.Signature) { s.Also[0].PublicKey = "x" }, "public_key"},
		"another name, unknown": {func(s *wire.Signature) {
			replace("also key: new", "also key: newer")(s)
			s.Also[0].PublicKey = ""
		}, "it says also key"},
		"another form, unknown": {func(s *wire.Signature) {
			replace("format hex", "format legacy")(s)
			s.Also[0].PublicKey = ""
		}, "it says also key"},
		"another first key, unknown": {func(s *wire.Signature) {
			replace("key: old", "key: older")(s)
			s.PublicKey = ""
		}, "it says key"},
		"a second first key, unknown": {func(s *wire.Signature) {
			replace("also key: ", "key: old, SHA256:x\nalso key: ")(s)
			s.PublicKey = ""
		}, `found 2 lines "key"`},
	} {
		sig := several()
		c.change(sig)
		text, err := CheckStatement(sig)
		var untrusted *UntrustedError
		if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), c.want) || text != "" {
			t.Errorf("%s: found %q, %v; want it not trusted: %q", name, text, err, c.want)
		}
	}
	// What the daemon cannot sign with any more can still be rejected.
	gone := several()
	gone.PublicKey, gone.Also[0].PublicKey = "", ""
	if text, err := CheckStatement(gone); err != nil || text != gone.Statement {
		t.Errorf("keys that the daemon has no more: found %q, %v", text, err)
	}
	// In the form for one key nobody is named whom the answer does not name.
	sig := pending()
	sig.Statement += line
	if _, err := CheckStatement(sig); err == nil {
		t.Error("a statement with a further key is signed for a request with one")
	}
}
