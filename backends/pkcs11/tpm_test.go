package pkcs11_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/tpmtest"
	"github.com/bundlesign/bundlesign/signer"
)

// TestTPM holds tpm2-pkcs11 to the contract, where it is installed: the one module
// here whose sessions and signatures are scarce.
func TestTPM(t *testing.T) {
	if pkg := tpmtest.Missing(); pkg != "" {
		t.Logf("not tested: %s is not installed", pkg)
		return
	}
	tk := tpmtest.New(t)
	v := newRival(t, tk.Token, tk.PINFile)
	v.conform(t, signer.NeverExtractable, v.GenerateKey(t, v.object), nil)
}
