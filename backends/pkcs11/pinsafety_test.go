package pkcs11_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	backend "github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// These tests count the calls of C_Login that reach the token: each with a wrong PIN
// brings it nearer to locking.

// life is one life of a daemon: it starts, uses the key a few times and ends.
func (f *faultRig) life(t *testing.T, cfg backend.Config) error {
	t.Helper()
	const timeout = 10 * time.Second // for a login that hangs, and for one that does not on a busy machine
	r := newRig(t, cfg)
	r.SetOpenTimeout(timeout)
	k := r.key(backend.KeyOptions{Object: "acme", Timeout: timeout})
	var err error
	for range 3 {
		err = sign(context.WithoutCancel(t.Context()), t, k)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return err
}

func (f *faultRig) recorded(t *testing.T) backend.Config {
	t.Helper()
	cfg := f.config(t)
	cfg.PINRecords = t.TempDir()
	return cfg
}

// TestCrashLoopCostsOneAttempt has a wrong PIN and a module that fails right after
// it gave the PIN to the token, and a daemon that is started again and again.
func TestCrashLoopCostsOneAttempt(t *testing.T) {
	shared := newFaultRig(t)
	login := func(f faultmodule.Fault) *faultmodule.Fault {
		f.Function, f.Late = "C_Login", true
		return &f
	}
	for _, test := range []struct {
		name  string
		fault *faultmodule.Fault
	}{
		{"says so", nil},
		{"crashes", login(faultmodule.Fault{Action: faultmodule.Crash})},
		{"hangs", login(faultmodule.Fault{Action: faultmodule.Hang})},
		{"loses the token", login(faultmodule.Fault{Code: pkcs11.CKR_DEVICE_REMOVED})},
		{"has a code of its own", login(faultmodule.Fault{Code: 0x80000042})},
		{"has too little memory", login(faultmodule.Fault{Code: pkcs11.CKR_HOST_MEMORY})},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := shared.fresh(t)
			cfg := f.recorded(t)
			f.token.WritePIN("not-the-pin")
			if test.fault != nil {
				f.fake.Inject(*test.fault)
			}
			for i := range 2 {
				if err := f.life(t, cfg); err == nil {
					t.Errorf("life %d: signed with a wrong PIN", i)
				}
			}
			f.fake.Heal()
			if err := f.life(t, cfg); err == nil {
				t.Error("signed with a wrong PIN")
			}
			if n := f.fake.Calls("C_Login"); n != 1 {
				t.Errorf("the token was given the wrong PIN %d times, want once", n)
			}
			f.token.WritePIN(softhsmtest.PIN)
			if err := f.life(t, cfg); err != nil {
				t.Errorf("with the right PIN: %v", err)
			}
		})
	}
}

// TestCrashWithAGoodPIN has the module crash at login although the PIN is right and
// was taken before: a single crash must not need an operator.
func TestCrashWithAGoodPIN(t *testing.T) {
	f := newFaultRig(t)
	cfg := f.recorded(t)
	if err := f.life(t, cfg); err != nil {
		t.Fatal(err)
	}
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Action: faultmodule.Crash, Late: true, Times: 1})
	if err := f.life(t, cfg); err != nil {
		t.Errorf("in the life with the crash: %v", err)
	}
	if err := f.life(t, cfg); err != nil {
		t.Errorf("in the life after that: %v", err)
	}
}

// TestUnwritableRecord has nowhere to write attempts down: none is made.
func TestUnwritableRecord(t *testing.T) {
	f := newFaultRig(t)
	cfg := f.recorded(t)
	cfg.PINRecords += "/file/records"
	if err := os.WriteFile(cfg.PINRecords[:len(cfg.PINRecords)-len("/records")], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.life(t, cfg); err == nil {
		t.Error("signed without a record")
	}
	if n := f.fake.Calls("C_Login"); n != 0 {
		t.Errorf("%d attempts were made that could not be recorded", n)
	}
}

// TestTwoDaemonsOneWrongPIN has several modules, as of a daemon that is being
// replaced, log in at once.
func TestTwoDaemonsOneWrongPIN(t *testing.T) {
	f := newFaultRig(t)
	cfg := f.recorded(t)
	f.token.WritePIN("not-the-pin")
	var wg sync.WaitGroup
	for range 4 {
		k := newRig(t, cfg).key(backend.KeyOptions{Object: "acme"})
		for range 4 {
			wg.Go(func() {
				if err := sign(context.WithoutCancel(t.Context()), t, k); err == nil {
					t.Error("signed with a wrong PIN")
				}
			})
		}
	}
	wg.Wait()
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("the token was given the wrong PIN %d times, want once", n)
	}
}

// TestTokenFlags has the token say how near it is to locking.
func TestTokenFlags(t *testing.T) {
	shared := newFaultRig(t)
	for _, test := range []struct {
		name       string
		set, clear uint64
		want       string // "": the login is made
	}{
		{"count low", pkcs11.CKF_USER_PIN_COUNT_LOW, 0, ""},
		{"final try", pkcs11.CKF_USER_PIN_COUNT_LOW | pkcs11.CKF_USER_PIN_FINAL_TRY, 0, "lock its PIN after one more wrong try"},
		{"locked", pkcs11.CKF_USER_PIN_LOCKED, 0, "locked its PIN"},
		{"PIN never set", 0, pkcs11.CKF_USER_PIN_INITIALIZED, "user PIN was never set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := shared.fresh(t)
			_, k := f.start(t, backend.KeyOptions{})
			f.fake.SetFlags(test.set, test.clear)
			for range 3 {
				err := sign(t.Context(), t, k)
				if test.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				wantError(t, err, signer.ErrKeyUnusable, test.want)
			}
			wantCalls := 1
			if test.want != "" {
				wantCalls = 0
			}
			if n := f.fake.Calls("C_Login"); n != wantCalls {
				t.Errorf("%d attempts to log in, want %d", n, wantCalls)
			}
			f.fake.SetFlags(0, 0) // somebody mended it
			eventually(t, "signing", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
		})
	}
}

// TestFlagsBeforeEachLogin has the flags change while the token is in use: they are
// looked at before a second login as before the first.
func TestFlagsBeforeEachLogin(t *testing.T) {
	f := newFaultRig(t)
	_, k := f.start(t, backend.KeyOptions{})
	mustSign(t, k)
	f.fake.SetFlags(pkcs11.CKF_USER_PIN_FINAL_TRY, 0)
	f.fake.Inject(faultmodule.Fault{Function: "C_SignInit", Code: ckr.UserNotLoggedIn})
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "lock its PIN after one more wrong try")
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("%d attempts to log in, want the first only", n)
	}
	f.fake.Heal()
	f.fake.SetFlags(0, 0)
	eventually(t, "signing", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
}

// TestPINChangedWhileInUse has the token log out, and the PIN be another by then.
func TestPINChangedWhileInUse(t *testing.T) {
	f := newFaultRig(t)
	cfg := f.recorded(t)
	r := newRig(t, cfg)
	k := r.key(backend.KeyOptions{Object: "acme"})
	mustSign(t, k)
	// The fake stands for the token here: SoftHSM would say that somebody is logged in.
	f.fake.Inject(faultmodule.Fault{Function: "C_SignInit", Code: ckr.UserNotLoggedIn})
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Code: ckr.PINIncorrect})
	before := f.fake.Calls("C_Login")
	for range 3 {
		wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "")
	}
	if n := f.fake.Calls("C_Login") - before; n != 1 {
		t.Errorf("the token was given the wrong PIN %d times, want once", n)
	}
	f.fake.Heal()
	if err := f.life(t, cfg); err == nil {
		t.Error("after a restart, a PIN was tried that the token had refused")
	}
}

// TestKeypad has a PIN typed on the token itself.
func TestKeypad(t *testing.T) {
	f := newFaultRig(t)
	f.fake.SetFlags(pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH, 0)
	f.fake.TypePIN(softhsmtest.PIN)
	cfg := f.config(t)
	cfg.PIN = uri.PINSource{}
	k := newRig(t, cfg).key(backend.KeyOptions{Object: "acme"})
	mustSign(t, k)
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("%d attempts to log in, want 1", n)
	}
}

// TestKeypadNotReached has the token get lost for a moment just before somebody would
// have been asked for the PIN: that is no reason not to ask.
func TestKeypadNotReached(t *testing.T) {
	rig := newFaultRig(t)
	newKey := func(f *faultRig) *backend.Key {
		f.fake.SetFlags(pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH, 0)
		f.fake.TypePIN(softhsmtest.PIN)
		cfg := f.config(t)
		cfg.PIN = uri.PINSource{}
		return newRig(t, cfg).key(backend.KeyOptions{Object: "acme"})
	}
	mustSign(t, newKey(rig))
	// The last time that a good start asks for the token's flags is in the login.
	last := rig.fake.Calls("C_GetTokenInfo") - 1
	f := rig.fresh(t)
	f.fake.Inject(faultmodule.Fault{Function: "C_GetTokenInfo", Code: 0x032, Skip: last, Times: 1}) // CKR_DEVICE_REMOVED
	mustSign(t, newKey(f))
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}
