package pkcs11_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// TestWrongPINIsTriedOnce counts the processes that were started: each attempt to
// log in takes one.
func TestWrongPINIsTriedOnce(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	tk.WritePIN("not-the-pin")
	r := newRig(t, softHSM(t, tk))
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	other := r.key(pkcs11.KeyOptions{Object: "other"})

	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "the token refused the PIN in "+tk.PINFile+": CKR_PIN_INCORRECT")
	for range 3 {
		wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "not tried again")
		_, err := other.Inspect(t.Context())
		wantError(t, err, signer.ErrKeyUnusable, "not tried again")
		tk.WritePIN("not-the-pin") // a new file with the same content
	}
	if n := r.count(gone); n != 1 {
		t.Errorf("%d attempts to log in were made, want 1", n)
	}

	tk.WritePIN("not-the-pin-either")
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "CKR_PIN_INCORRECT")
	if n := r.count(gone); n != 2 {
		t.Errorf("%d attempts with two wrong PINs, want 2", n)
	}
	tk.WritePIN("not-the-pin") // the first wrong one is not forgotten
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "not tried again")

	tk.WritePIN(softhsmtest.PIN)
	mustSign(t, k) // at once: a PIN that was not tried is no reason to wait
}

func TestPINFromCredential(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	dir := t.TempDir()
	// As systemd writes it: its access list shows as a group permission.
	if err := os.WriteFile(filepath.Join(dir, "hsm-pin"), []byte(softhsmtest.PIN), 0o440); err != nil {
		t.Fatal(err)
	}
	cfg := softHSM(t, tk)
	cfg.PIN = uri.PINSource{Credential: "hsm-pin"}
	cfg.CredentialsDir = dir
	mustSign(t, newRig(t, cfg).key(pkcs11.KeyOptions{Object: "acme"}))
}

// TestRefusedPINOverRestarts has the PIN come from a systemd credential, which is a
// new file at each start, and an operator clear the record once the PIN that was
// refused is the right one.
func TestRefusedPINOverRestarts(t *testing.T) {
	f := newFaultRig(t)
	cfg := f.recorded(t)
	cfg.PIN = uri.PINSource{Credential: "hsm-pin"}
	start := func(pin string) error {
		t.Helper()
		cfg.CredentialsDir = t.TempDir()
		if err := os.WriteFile(filepath.Join(cfg.CredentialsDir, "hsm-pin"), []byte(pin), 0o440); err != nil {
			t.Fatal(err)
		}
		return f.life(t, cfg)
	}
	for range 3 {
		wantError(t, start("not-the-pin"), signer.ErrKeyUnusable, "the token refused the PIN in credential:hsm-pin, and it is not tried again")
	}
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("%d attempts with one wrong PIN over three lives, want 1", n)
	}
	all, err := pinrecord.List(cfg.PINRecords)
	if err != nil || len(all) != 1 || all[0].Refused != 1 || all[0].Token.Label != f.token.Label || all[0].Module != f.fake.Path() {
		t.Fatalf("recorded: %+v, %v", all, err)
	}
	if err := pinrecord.Clear(cfg.PINRecords, all[0].ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, start("not-the-pin"), signer.ErrKeyUnusable, "")
	if n := f.fake.Calls("C_Login"); n != 2 {
		t.Errorf("%d attempts after the record was cleared once, want 2", n)
	}
	if err := start(softhsmtest.PIN); err != nil {
		t.Error(err)
	}
}

// TestKeypadUnanswered has nobody at the token when the PIN is to be typed there:
// they are not asked again and again.
func TestKeypadUnanswered(t *testing.T) {
	f := newFaultRig(t)
	f.fake.SetFlags(p11.CKF_PROTECTED_AUTHENTICATION_PATH, 0)
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Code: 0x050}) // CKR_FUNCTION_CANCELED
	cfg := f.config(t)
	cfg.PIN = uri.PINSource{}
	r := newRig(t, cfg)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	for range 5 {
		if err := sign(t.Context(), t, k); err == nil {
			t.Error("signed without a login")
		}
	}
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "restart the daemon to be asked again")
	if n := f.fake.Calls("C_Login"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if n := r.count("type the PIN of the pkcs11 token on its keypad"); n != 1 {
		t.Errorf("the operator was told %d times, want once", n)
	}
}

// TestKeypadDeadline has the pad wait for ever: it has a deadline of its own.
func TestKeypadDeadline(t *testing.T) {
	f := newFaultRig(t)
	f.fake.SetFlags(p11.CKF_PROTECTED_AUTHENTICATION_PATH, 0)
	f.fake.Inject(faultmodule.Fault{Function: "C_Login", Action: faultmodule.Hang})
	cfg := f.config(t)
	cfg.PIN = uri.PINSource{}
	cfg.PadTimeout = 200 * time.Millisecond
	k := newRig(t, cfg).key(pkcs11.KeyOptions{Object: "acme"})
	wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "no answer within 200ms")
}
