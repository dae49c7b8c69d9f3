package pkcs11_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/nsstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// TestNSS holds NSS softokn to the contract: a module that wants to be told how to
// start, and that makes one slow signature at a time.
func TestNSS(t *testing.T) {
	tk := nsstest.New(t)
	v := newRival(t, tk.Token, tk.PINFile)
	t.Run("imported", func(t *testing.T) {
		v.object = "made-outside"
		key, public := outsideKey(t)
		v.ImportKey(t, v.object, key)
		v.conform(t, signer.NonExtractable, public, key)
	})
	t.Run("generated", func(t *testing.T) {
		v.object = "made-here"
		public := v.GenerateKey(t, v.object)
		k := v.open(t)
		defer k.Close()
		p := payload(t, "bundle")
		got, err := k.Sign(t.Context(), []capgo.Payload{p})
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify(p, got[0]); err != nil {
			t.Error(err)
		}
		e, err := k.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// It does not say CKA_LOCAL of its own keys, so nothing shows that they are.
		if !e.PublicKey.Equal(public) || e.Custody.Level != signer.NonExtractable {
			t.Errorf("custody %q of %s", e.Custody.Level, e.PublicKey.Fingerprint())
		}
	})
}
