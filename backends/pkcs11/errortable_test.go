package pkcs11_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// sources says, for each row of the error table, which function returns the code
// in the test: one that may, by the standard, where the class can be seen.
func sources() map[ckr.Code]string {
	const (
		sign, signInit, random = "C_Sign", "C_SignInit", "C_GenerateRandom"
		find, open             = "C_FindObjectsInit", "C_OpenSession"
		login, initialize      = "C_Login", "C_Initialize"
	)
	return map[ckr.Code]string{
		0x001: sign, 0x002: sign, 0x003: open, 0x005: sign, 0x006: sign, 0x007: signInit,
		0x009: initialize, 0x00A: initialize,
		0x010: find, 0x011: find, 0x012: find, 0x013: find,
		0x020: sign, 0x021: sign,
		0x030: sign, 0x031: signInit, 0x032: sign,
		0x050: sign, 0x051: signInit, 0x054: signInit,
		0x060: signInit, 0x062: signInit, 0x063: signInit, 0x064: signInit, 0x065: signInit, 0x066: signInit, 0x068: signInit,
		0x070: signInit, 0x071: signInit,
		0x082: signInit, 0x090: signInit, 0x091: sign,
		0x0A0: login, 0x0A1: login, 0x0A2: login, 0x0A3: login, 0x0A4: login,
		0x0B0: sign, 0x0B1: find, 0x0B3: signInit, 0x0B4: signInit,
		0x0D0: find, 0x0D1: find,
		0x0E0: sign, 0x0E1: sign,
		0x100: signInit, 0x101: sign, 0x102: login, 0x103: login, 0x104: sign, 0x105: login,
		0x120: random, 0x121: signInit, // C_GenerateRandom may return it, see TestTokenWithoutGenerator
		0x150: sign,
		0x190: sign, 0x191: sign,
		0x1A0: sign, 0x1A1: sign,
		0x1B0: login, 0x1B1: login,
		0x200: sign, 0x202: signInit,

		// Of making and unwrapping keys: what a signature with them leads to is as
		// good as what their class promises anywhere.
		0x01B: signInit, 0x0B5: signInit, 0x0B7: sign, 0x0B8: sign, 0x0E2: signInit,
		0x0F0: signInit, 0x0F1: signInit, 0x0F2: signInit, 0x110: signInit, 0x112: signInit,
		0x130: signInit, 0x140: signInit, 0x170: find, 0x1B6: signInit, 0x1B7: initialize, 0x1B9: signInit, 0x201: sign,
	}
}

// inTable reports whether a code has a row: those without are called the vendor's.
func inTable(code ckr.Code) bool { return !strings.HasPrefix(code.String(), "a code of the vendor's") }

// TestEveryRowHasASource fails when a row is added that TestErrorTable does not
// cover.
func TestEveryRowHasASource(t *testing.T) {
	all := sources()
	const last = 0x1000 // the standard's own codes end far below
	for code := ckr.OK + 1; code < last; code++ {
		if _, covered := all[code]; covered != inTable(code) {
			t.Errorf("%s: in the table %t, in this test %t", code, inTable(code), covered)
		}
	}
}

// TestErrorTable has the module return every code of the table once, and checks
// that what its class promises was done, and nothing else.
func TestErrorTable(t *testing.T) {
	f := newFaultRig(t)
	r, k := f.start(t, pkcs11.KeyOptions{})
	for code := ckr.OK + 1; code < 0x1000; code++ {
		function, ok := sources()[code]
		if !ok {
			continue
		}
		t.Run(fmt.Sprintf("%s from %s", code, function), func(t *testing.T) {
			switch {
			case function == "C_Login" || function == "C_Initialize":
				f.atStart(t, function, code)
			case refusesMechanism(code):
				f.otherMechanism(t, function, code)
			default:
				f.inUse(t, r, k, function, code)
			}
		})
	}
	t.Run("a code of the vendor's", func(t *testing.T) { f.inUse(t, r, k, "C_Sign", 0x80000123) })
}

// inUse has a module that works fail in the middle of an order.
func (f *faultRig) inUse(t *testing.T, r *rig, k *pkcs11.Key, function string, code ckr.Code) {
	mustSign(t, k)
	pid, before := r.pid(), f.tally()
	f.once(function, code)
	err := f.use(t, k, function)
	f.fake.Heal()
	calls := f.tally().since(before)

	wantCalls := tally{"C_Initialize": 0, "C_Login": 0, "C_OpenSession": 0, function: 2}
	switch code.Class() {
	case ckr.Retry:
	case ckr.NewSession:
		wantCalls["C_OpenSession"] = 1
		if n := calls["C_FindObjectsInit"]; n == 0 {
			t.Error("the key was not found anew in the new session")
		}
	case ckr.Relogin:
		wantCalls["C_Login"] = 1
	case ckr.Reload:
		wantCalls["C_Initialize"], wantCalls["C_Login"], wantCalls["C_OpenSession"] = 1, 1, 2
		if function == "C_OpenSession" {
			wantCalls["C_OpenSession"] = 3
		}
	case ckr.FatalKey, ckr.FatalToken:
		wantCalls[function] = 1
		wantError(t, err, signer.ErrKeyUnusable, code.String())
	default:
		t.Fatalf("class %s has no test", code.Class())
	}
	if unusable := code.Class() >= ckr.FatalKey; err != nil && !unusable {
		t.Errorf("the call did not get over a %q: %v", code.Class(), err)
	}
	for name, want := range wantCalls {
		if calls[name] != want {
			t.Errorf("%s was called %d times, want %d", name, calls[name], want)
		}
	}
	if reloaded := r.pid() != pid; reloaded != (code.Class() == ckr.Reload) {
		t.Errorf("a new process: %t, class %q", reloaded, code.Class())
	}
	mustSign(t, k) // nothing stays behind
}

// use makes the call in which a function is sure to be used.
func (f *faultRig) use(t *testing.T, k *pkcs11.Key, function string) error {
	t.Helper()
	switch function {
	case "C_FindObjectsInit":
		_, err := k.Inspect(t.Context())
		return err
	case "C_OpenSession":
		f.once("C_SignInit", 0x0B3) // the session is gone: another is opened
	}
	p := payload(t, "bundle")
	if function == "C_GenerateRandom" {
		p = capgo.SessionKeyPayload()
	}
	got, err := k.Sign(t.Context(), []capgo.Payload{p})
	if err == nil {
		if err := f.public.Verify(p, got[0]); err != nil {
			t.Errorf("what came back: %v", err)
		}
	}
	return err
}

// atStart has a module fail while it is opened.
func (f *faultRig) atStart(t *testing.T, function string, code ckr.Code) {
	_, k := f.start(t, pkcs11.KeyOptions{})
	before := f.tally()
	f.once(function, code)
	defer f.fake.Heal()
	err := sign(t.Context(), t, k)
	switch class := code.Class(); class {
	case ckr.FatalToken:
		wantError(t, err, signer.ErrKeyUnusable, code.String())
	default:
		t.Fatalf("no test of class %q at the start", class)
	}
	if n := f.tally().since(before)[function]; n != 1 {
		t.Errorf("%s was called %d times, want once", function, n)
	}
}

// refusesMechanism reports whether a code may mean that the token does not sign such
// data with CKM_RSA_PKCS. Then CKM_RSA_X_509 is tried, before the class counts.
func refusesMechanism(code ckr.Code) bool {
	return slices.Contains([]ckr.Code{0x020, 0x021, 0x070, 0x071}, code)
}

// otherMechanism has a module refuse one mechanism, and then both.
func (f *faultRig) otherMechanism(t *testing.T, function string, code ckr.Code) {
	if class := code.Class(); class != ckr.FatalKey {
		t.Fatalf("class %q, want %q", class, ckr.FatalKey)
	}
	for _, test := range []struct{ times, want int }{{1, 2}, {2, 2}} {
		r, k := f.start(t, pkcs11.KeyOptions{})
		before := f.tally()
		f.fake.Inject(faultmodule.Fault{Function: function, Code: code, Times: test.times})
		err := f.use(t, k, function)
		f.fake.Heal()
		if test.times == 1 && err != nil {
			t.Errorf("the other mechanism was not used: %v", err)
		}
		if test.times == 2 {
			wantError(t, err, signer.ErrKeyUnusable, code.String())
		}
		calls := f.tally().since(before)
		if calls[function] != test.want || calls["C_Login"] != 1 {
			t.Errorf("refused %d times: %s was called %d times and C_Login %d times, want %d and 1", test.times, function, calls[function], calls["C_Login"], test.want)
		}
		mustSign(t, k)
		if n := r.count(opened); n != 1 {
			t.Errorf("%d processes, want 1", n)
		}
	}
}

// TestErrorTablePersists has the module return a code for ever: each class gives up
// after what it promises, at the right place.
func TestErrorTablePersists(t *testing.T) {
	f := newFaultRig(t)
	for _, test := range []struct {
		code      ckr.Code
		signs     int
		processes int
	}{
		{0x002, 4, 2},
		{0x006, 4, 2},
		{0x101, 2, 1},
		{0x030, 2, 2},
	} {
		t.Run(fmt.Sprint(test.code.Class()), func(t *testing.T) {
			r, k := f.start(t, pkcs11.KeyOptions{})
			mustSign(t, k)
			before := f.tally()
			f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Code: test.code})
			defer f.fake.Heal()
			wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "C_Sign failed: "+test.code.String())
			if n := f.tally().since(before)["C_Sign"]; n != test.signs {
				t.Errorf("C_Sign was called %d times, want %d", n, test.signs)
			}
			if n := r.count(opened); n != test.processes {
				t.Errorf("%d processes were used, want %d", n, test.processes)
			}
			f.fake.Heal()
			// A module that was just restarted in vain is left alone for a moment.
			eventually(t, "signing again", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
		})
	}
}

// TestTokenWithoutGenerator has C_GenerateRandom say that there is no generator:
// the system's is used alone.
func TestTokenWithoutGenerator(t *testing.T) {
	f := newFaultRig(t)
	_, k := f.start(t, pkcs11.KeyOptions{})
	for _, code := range []ckr.Code{ckr.RandomNoRNG, ckr.FunctionUnsupported} {
		f.once("C_GenerateRandom", code)
		p := capgo.SessionKeyPayload()
		got, err := k.Sign(t.Context(), []capgo.Payload{p})
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if err := f.public.Verify(p, got[0]); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestRetryFindsItselfInTheWay has a token fail in a signature and keep it under way:
// the same call made again is refused for that, and goes through in another session.
func TestRetryFindsItselfInTheWay(t *testing.T) {
	f := newFaultRig(t)
	_, k := f.start(t, pkcs11.KeyOptions{})
	mustSign(t, k)
	before := f.tally()
	f.fake.Inject(faultmodule.Fault{Function: "C_SignInit", Code: ckr.OperationActive, Skip: 1, Times: 1})
	f.once("C_Sign", 0x002) // CKR_HOST_MEMORY
	mustSign(t, k)
	calls := f.tally().since(before)
	want := tally{"C_SignInit": 3, "C_OpenSession": 1, "C_Initialize": 0, "C_Login": 0}
	for name, want := range want {
		if calls[name] != want {
			t.Errorf("%s was called %d times, want %d", name, calls[name], want)
		}
	}
}
