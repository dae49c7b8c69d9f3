package pkcs11_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// faultRig is a token with one key, behind a fake module that does wrong to order.
type faultRig struct {
	token  *softhsmtest.Token
	public *capgo.PublicKey
	fake   *faultmodule.Module
}

func newFaultRig(t *testing.T) *faultRig {
	t.Helper()
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	return &faultRig{tk, public, faultmodule.New(t, tk.ModulePath)}
}

// fresh returns the same token behind another fake, with nothing wrong yet. Making
// keys takes its time.
func (f *faultRig) fresh(t *testing.T) *faultRig {
	t.Helper()
	return &faultRig{f.token, f.public, faultmodule.New(t, f.token.ModulePath)}
}

// config is that of a daemon that has the fake for the vendor's module.
func (f *faultRig) config(t *testing.T) pkcs11.Config {
	t.Helper()
	cfg := softHSM(t, f.token)
	cfg.ModulePath = f.fake.Path()
	return cfg
}

// start returns a module that was not used yet and its key, with one session: then
// each call of the module is foreseeable.
func (f *faultRig) start(t *testing.T, o pkcs11.KeyOptions) (*rig, *pkcs11.Key) {
	t.Helper()
	r := newRig(t, f.config(t))
	o.Object = "acme"
	if o.MaxSessions == 0 {
		o.MaxSessions = 1
	}
	return r, r.key(o)
}

// once has the next call of a function return a code.
func (f *faultRig) once(function string, code ckr.Code) {
	f.fake.Inject(faultmodule.Fault{Function: function, Code: code, Times: 1})
}

// tally is how often functions were called.
type tally map[string]int

func (f *faultRig) tally() tally {
	n := tally{}
	for _, name := range []string{"C_Initialize", "C_Login", "C_OpenSession", "C_FindObjectsInit", "C_SignInit", "C_Sign", "C_GenerateRandom"} {
		n[name] = f.fake.Calls(name)
	}
	return n
}

// since returns the calls that were made since an earlier tally.
func (n tally) since(before tally) tally {
	d := tally{}
	for name := range n {
		d[name] = n[name] - before[name]
	}
	return d
}
