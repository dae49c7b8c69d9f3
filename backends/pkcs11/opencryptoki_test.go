package pkcs11_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/opencryptokitest"
	"github.com/bundlesign/bundlesign/signer"
)

// TestOpencryptoki holds a second vendor's module to the contract: one with a
// daemon, with short PINs, and with other codes for the same faults.
func TestOpencryptoki(t *testing.T) {
	tk := opencryptokitest.New(t)
	v := newRival(t, tk.Token, tk.PINFile)
	t.Run("generated", func(t *testing.T) {
		v.object = "made-here"
		v.conform(t, signer.NeverExtractable, v.GenerateKey(t, v.object), nil)
	})
	t.Run("imported", func(t *testing.T) {
		v.object = "made-outside"
		key, public := outsideKey(t)
		v.ImportKey(t, v.object, key)
		v.conform(t, signer.NonExtractable, public, key)
	})
}
