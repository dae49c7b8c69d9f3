package pkcs11_test

import (
	"context"
	"sync"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// newConfirmRig is a token with a key that wants the PIN for each use. SoftHSM
// enforces it.
func newConfirmRig(t *testing.T) *faultRig {
	t.Helper()
	tk := softhsmtest.New(t)
	public, err := capgo.NewPublicKey(tk.Generate(softhsmtest.RSAKey{Label: "acme", Confirm: true}))
	if err != nil {
		t.Fatal(err)
	}
	return &faultRig{tk, public, faultmodule.New(t, tk.ModulePath)}
}

func TestAlwaysAuthenticate(t *testing.T) {
	f := newConfirmRig(t)
	r := newRig(t, f.config(t))
	k := r.key(pkcs11.KeyOptions{Object: "acme", MaxSessions: 4})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			payloads := []capgo.Payload{payload(t, "a"), capgo.SessionKeyPayload(), payload(t, "b")}
			got, err := k.Sign(t.Context(), payloads)
			if err != nil {
				t.Error(err)
				return
			}
			for i, p := range payloads {
				if err := f.public.Verify(p, got[i]); err != nil {
					t.Errorf("payload %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if n := f.fake.Calls("C_Login"); n != 1+8*3 {
		t.Errorf("%d logins, want one and one for each signature", n)
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d children, want 1", n)
	}
	if _, err := k.Inspect(t.Context()); err != nil {
		t.Error(err)
	}
	// The next child needs the PIN anew.
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Crash, Times: 1})
	mustSign(t, k)
}

// TestConfirmRefused has the token refuse, for the use of a key, a PIN that it took
// at login. That costs one attempt, however many signatures are under way, and
// nobody tries again, nor after a restart.
func TestConfirmRefused(t *testing.T) {
	f := newConfirmRig(t)
	cfg := f.recorded(t)
	k := newRig(t, cfg).key(pkcs11.KeyOptions{Object: "acme", MaxSessions: 8})
	mustSign(t, k)
	before := f.fake.Calls("C_Login")
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Code: ckr.PINIncorrect})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := sign(context.WithoutCancel(t.Context()), t, k); err == nil {
				t.Error("signed with a refused PIN")
			}
		})
	}
	wg.Wait()
	if n := f.fake.Calls("C_Login") - before; n != 1 {
		t.Errorf("the token was given the PIN %d times after it refused it, want once", n)
	}
	f.fake.Heal()
	wantError(t, f.life(t, cfg), signer.ErrKeyUnusable, "not tried again")
	if n := f.fake.Calls("C_Login") - before; n != 1 {
		t.Errorf("after a restart, %d attempts", n)
	}
}

func TestConfirmWithoutPINSource(t *testing.T) {
	f := newConfirmRig(t)
	// Somebody types the PIN on the token for the login; nobody would for each use.
	f.fake.SetFlags(1<<8, 0) // CKF_PROTECTED_AUTHENTICATION_PATH
	f.fake.TypePIN(softhsmtest.PIN)
	cfg := f.config(t)
	cfg.PIN = uri.PINSource{}
	k := newRig(t, cfg).key(pkcs11.KeyOptions{Object: "acme"})
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "CKA_ALWAYS_AUTHENTICATE")
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestConfirmWithAChangedPIN has the operator write another PIN while the token is
// in use: it is first tried in a login, where it is recorded.
func TestConfirmWithAChangedPIN(t *testing.T) {
	f := newConfirmRig(t)
	cfg := f.recorded(t)
	r := newRig(t, cfg)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	if _, err := k.Inspect(t.Context()); err != nil { // logs in, and confirms nothing
		t.Fatal(err)
	}
	f.token.WritePIN("not-the-pin")
	for range 3 {
		wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "")
	}
	if n := f.fake.Calls("C_Login"); n != 2 {
		t.Errorf("%d logins, want the good one and one with the wrong PIN", n)
	}
	f.token.WritePIN(softhsmtest.PIN)
	mustSign(t, k)
}

// TestConfirmAfterAChange has the operator change the PIN in the token and in its
// file between the login and the first use of the key: the request in flight goes on
// with the next child, which asks for the PIN as the first did.
func TestConfirmAfterAChange(t *testing.T) {
	f := newConfirmRig(t)
	r := newRig(t, f.config(t))
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	if _, err := k.Inspect(t.Context()); err != nil { // logs in, and confirms nothing
		t.Fatal(err)
	}
	f.token.SetPIN("another-pin-for-the-test")
	f.token.WritePIN("another-pin-for-the-test")
	mustSign(t, k)
	if n := r.count(opened); n != 2 {
		t.Errorf("%d children, want 2", n)
	}
}

// TestConfirmAfterAnothersLogin has the token say that it is logged in already, so that
// the PIN was not looked at: it is not tried for the use of a key.
func TestConfirmAfterAnothersLogin(t *testing.T) {
	f := newConfirmRig(t)
	r := newRig(t, f.config(t))
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Code: ckr.UserAlreadyLoggedIn, Late: true, Times: 1})
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "somebody else had logged in")
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d children, want 1: another would not help", n)
	}
}

// TestConfirmAndCrash has the child end in the first signature after it was given the
// PIN: the order is given to the next one, which needs the PIN too. Two that end are
// enough.
func TestConfirmAndCrash(t *testing.T) {
	f := newConfirmRig(t)
	r := newRig(t, f.config(t))
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Crash, Times: 1})
	mustSign(t, k)
	if n := r.count(opened); n != 2 {
		t.Errorf("%d children, want 2", n)
	}
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Crash})
	wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "")
	if n := r.count(opened); n != 3 {
		t.Errorf("%d children, want 3: one more try is all", n)
	}
}
