package pkcs11_test

import (
	"testing"

	"github.com/miekg/pkcs11"

	backend "github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/signer"
)

// TestOtherMechanism has a token that does not make raw PKCS#1 v1.5 signatures: the
// padding is made outside of it then.
func TestOtherMechanism(t *testing.T) {
	shared := newFaultRig(t)
	for name, lie := range map[string]func(*faultmodule.Module){
		"no CKM_RSA_PKCS": (*faultmodule.Module).OmitPKCS1,
		"CKR_DATA_INVALID for short data": func(m *faultmodule.Module) {
			m.RefuseShortPKCS1(pkcs11.CKR_DATA_INVALID)
		},
		"CKR_DATA_LEN_RANGE for short data": func(m *faultmodule.Module) {
			m.RefuseShortPKCS1(pkcs11.CKR_DATA_LEN_RANGE)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := shared.fresh(t)
			lie(f.fake)
			_, k := f.start(t, backend.KeyOptions{})
			for range 2 {
				if err := f.use(t, k, "C_Sign"); err != nil { // verifies
					t.Fatal(err)
				}
				if err := f.use(t, k, "C_GenerateRandom"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("neither works", func(t *testing.T) {
		f := shared.fresh(t)
		f.fake.OmitPKCS1()
		f.fake.Inject(faultmodule.Fault{Function: "C_SignInit", Code: pkcs11.CKR_MECHANISM_INVALID})
		_, k := f.start(t, backend.KeyOptions{})
		wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "CKM_RSA_X_509")
	})
}

// TestInitArgs has a module that wants an argument of C_Initialize.
func TestInitArgs(t *testing.T) {
	f := newFaultRig(t)
	f.fake.WantInitArgs()
	_, k := f.start(t, backend.KeyOptions{})
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "CKR_ARGUMENTS_BAD")

	const want = `configdir='sql:/some where' flags="readOnly"`
	cfg := f.config(t)
	cfg.InitArgs = want
	k = newRig(t, cfg).key(backend.KeyOptions{Object: "acme"})
	mustSign(t, k)
	if got := f.fake.InitArgs(); got != want {
		t.Errorf("C_Initialize was given %q, want %q", got, want)
	}
}
