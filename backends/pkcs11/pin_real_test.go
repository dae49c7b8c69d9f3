package pkcs11_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
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
