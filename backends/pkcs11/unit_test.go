package pkcs11

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestLevel(t *testing.T) {
	best := func() map[string]bool {
		return map[string]bool{
			"CKA_SENSITIVE": true, "CKA_ALWAYS_SENSITIVE": true, "CKA_EXTRACTABLE": false,
			"CKA_NEVER_EXTRACTABLE": true, "CKA_LOCAL": true, "CKA_SIGN": true,
		}
	}
	if got := level(best()); got != signer.NeverExtractable {
		t.Errorf("made in the token: %q", got)
	}
	// Each attribute with the wrong value, and each that the token is silent on.
	for name, want := range map[string]signer.CustodyLevel{
		"CKA_SENSITIVE":         signer.Software,
		"CKA_EXTRACTABLE":       signer.Software,
		"CKA_ALWAYS_SENSITIVE":  signer.NonExtractable,
		"CKA_NEVER_EXTRACTABLE": signer.NonExtractable,
		"CKA_LOCAL":             signer.NonExtractable,
		"CKA_SIGN":              signer.NeverExtractable,
	} {
		wrong := best()
		wrong[name] = !wrong[name]
		if got := level(wrong); got != want {
			t.Errorf("%s %t: %q, want %q", name, wrong[name], got, want)
		}
		silent := best()
		delete(silent, name)
		if got := level(silent); got != want {
			t.Errorf("without %s: %q, want %q", name, got, want)
		}
	}
	if got := level(nil); got != signer.Software {
		t.Errorf("a token that says nothing: %q", got)
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	var got []time.Duration
	for n := range 11 {
		got = append(got, backoff(n))
	}
	ms := time.Millisecond
	want := []time.Duration{0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms, 1000 * ms, 1000 * ms, 1000 * ms}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := backoff(1 << 40); got != time.Second {
		t.Errorf("after very many failures: %s", got)
	}
}

func TestChildEnv(t *testing.T) {
	got := childEnv([]string{"PATH=/bin", "NOTIFY_SOCKET=/run/x", "LISTEN_FDS=1", "LISTEN_PID=2", "WATCHDOG_USEC=3", "SOFTHSM2_CONF=/c", "LISTENER=kept"})
	want := []string{"PATH=/bin", "SOFTHSM2_CONF=/c", "LISTENER=kept"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func testModule() *Module {
	return NewModule(Config{ModulePath: "/m.so", Token: uri.Token{Label: "prod"}, PIN: uri.PINSource{Path: "/pin"}, Logger: zap.NewNop()})
}

// TestMeaning holds for each fault whether waiting can help, which decides whether a
// request is kept or fails.
func TestMeaning(t *testing.T) {
	for _, test := range []struct {
		fault proto.Fault
		kind  error
		text  string
	}{
		{proto.Fault{Kind: proto.KindModuleMissing}, signer.ErrUnavailable, "no such module"},
		{proto.Fault{Kind: proto.KindModuleBad, Detail: "bad ELF"}, signer.ErrKeyUnusable, "bad ELF"},
		{proto.Fault{Kind: proto.KindTokenMissing}, signer.ErrUnavailable, "no token at all"},
		{proto.Fault{Kind: proto.KindTokenMissing, Count: 2, Found: []string{"a", "b"}}, signer.ErrUnavailable, `"a", "b"`},
		{proto.Fault{Kind: proto.KindTokenAmbiguous, Count: 2, Found: []string{"a", "a"}}, signer.ErrKeyUnusable, "add serial="},
		{proto.Fault{Kind: proto.KindMechanism, Detail: "no, it does not"}, signer.ErrKeyUnusable, "nor with CKM_RSA_X_509; some tokens do not in a FIPS mode: no, it does not"},
		{proto.Fault{Kind: proto.KindPINNeeded}, signer.ErrKeyUnusable, "pin-source="},
		{proto.Fault{Kind: proto.KindPINUnset}, signer.ErrKeyUnusable, "never set"},
		{proto.Fault{Kind: proto.KindPINFinalTry}, signer.ErrKeyUnusable, "one more wrong try"},
		{proto.Fault{Kind: proto.KindPINLocked}, signer.ErrKeyUnusable, "unlock it"},
		{proto.Fault{Kind: proto.KindKeyMissing}, signer.ErrKeyUnusable, "no such private key"},
		{proto.Fault{Kind: proto.KindKeyAmbiguous}, signer.ErrKeyUnusable, "more than one"},
		{proto.Fault{Kind: proto.KindKeyUnfit, Detail: "1024 bits"}, signer.ErrKeyUnusable, "1024 bits"},
		{proto.Fault{Kind: proto.KindKeyConfirm}, signer.ErrKeyUnusable, "CKA_ALWAYS_AUTHENTICATE"},
		{proto.Fault{Kind: proto.KindProtocol, Detail: "what?"}, signer.ErrUnavailable, "what?"},
		{proto.Fault{Kind: "", Detail: "nothing known"}, signer.ErrUnavailable, "nothing known"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Login", Code: ckr.PINIncorrect}, signer.ErrKeyUnusable, "the PIN in /pin"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Login", Code: ckr.PINLocked}, signer.ErrKeyUnusable, "CKR_PIN_LOCKED"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0x63}, signer.ErrKeyUnusable, "refused the key"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0x30}, signer.ErrUnavailable, "C_Sign failed: CKR_DEVICE_ERROR"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0x2}, signer.ErrUnavailable, "CKR_HOST_MEMORY"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0xB3}, signer.ErrUnavailable, "CKR_SESSION_HANDLE_INVALID"},
		{proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0x80000001}, signer.ErrUnavailable, "vendor"},
	} {
		err := testModule().explain("object=acme", &test.fault)
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%+v: %v\nwant %q and %q", test.fault, err, test.kind, test.text)
		}
	}
}

func TestCutSharesABatch(t *testing.T) {
	for _, test := range []struct {
		payloads, among int
		want            []span
	}{
		{1, 8, []span{{0, 1}}},
		{2, 8, []span{{0, 1}, {1, 2}}},
		{2, 1, []span{{0, 2}}},
		{3, 2, []span{{0, 2}, {2, 3}}},
		{9, 1, []span{{0, 4}, {4, 8}, {8, 9}}},
		{10, 8, []span{{0, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}, {8, 9}, {9, 10}}},
	} {
		b, err := newBatch(proto.Selector{}, manySessionKeys(test.payloads), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got []span
		for len(b.todo) > 0 {
			got = append(got, b.cut(test.among, 4, 8))
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%d payloads among %d sessions: -want +got:\n%s", test.payloads, test.among, diff)
		}
	}
}

func TestGraver(t *testing.T) {
	crashed, hung := &goneError{errors.New("crashed")}, &hungError{time.Second}
	for _, test := range []struct{ a, b, want error }{
		{nil, nil, nil},
		{nil, crashed, crashed},
		{crashed, nil, crashed},
		{crashed, hung, hung},
		{hung, crashed, hung},
	} {
		if got := graver(test.a, test.b); got != test.want {
			t.Errorf("of %v and %v: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestPIN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pin")
	for content, want := range map[string]string{
		"1234":                   "1234",
		"1234\n":                 "1234",
		"1234\r\n":               "1234",
		" 12 34 \n":              " 12 34 ",
		"":                       "",
		"\n":                     "",
		"1234\n\n":               "",
		"1234\n5678\n":           "",
		"12\x0034":               "",
		strings.Repeat("1", 255): strings.Repeat("1", 255),
		strings.Repeat("1", 256): "",
		strings.Repeat("1", 300): "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p := newPIN(uri.PINSource{Path: path}, "")
		got, err := p.read(t.Context())
		if (err == nil) != (want != "") || err == nil && string(got.value) != want {
			t.Errorf("file with %q: %v, error %v; want %q", content, got, err, want)
		}
		if err != nil && content != "" && strings.Contains(err.Error(), "1234") {
			t.Errorf("the error quotes the file: %v", err)
		}
		if err == nil {
			if got.state == "" {
				t.Error("the state of the file is not told")
			}
			if got := p.strike("x" + want + "y" + want); got != "x[PIN]y[PIN]" {
				t.Errorf("the PIN was left in %q", got)
			}
		}
	}
}

func manySessionKeys(n int) []capgo.Payload {
	payloads := make([]capgo.Payload, n)
	for i := range payloads {
		payloads[i] = capgo.SessionKeyPayload()
	}
	return payloads
}

// TestMayReload holds when a process is replaced because a new session did not help.
func TestMayReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := testModule(), new(process)
		worked := func() { p.failures.Store(0) }
		for i, want := range []bool{true, false, false} { // of one call that never succeeds, beside others that do
			if got := m.mayReload(p); got != want {
				t.Errorf("failure %d: %t, want %t", i, got, want)
			}
			worked()
		}
		<-time.After(30 * time.Second) // of the test's own clock
		if !m.mayReload(p) {
			t.Error("not after a while either")
		}
		if !m.mayReload(p) {
			t.Error("not although nothing works")
		}
		m.cfg.PIN = uri.PINSource{} // somebody has to go and type it
		<-time.After(time.Hour)
		worked()
		if m.mayReload(p) {
			t.Error("replaced although somebody has to type the PIN")
		}
		if !m.mayReload(p) {
			t.Error("not although nothing works")
		}
	})
}
