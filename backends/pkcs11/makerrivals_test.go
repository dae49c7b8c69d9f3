package pkcs11_test

import (
	"crypto"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/nsstest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/opencryptokitest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/tpmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// maker returns a maker of a key in the rival's token.
func (v *rival) maker(r *rig, object string) *pkcs11.Maker {
	cfg := v.config()
	return r.Maker(&uri.URI{Token: cfg.Token, Object: object, ModulePath: cfg.ModulePath, PIN: cfg.PIN}, 0)
}

// makes has the token make a key and take one, by any of its ways, and checks both.
func (v *rival) makes(t *testing.T, created signer.CustodyLevel) {
	t.Helper()
	r := newRig(t, v.config())
	made, err := v.maker(r, "made").Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u := parseURI(t, made)
	key := r.key(pkcs11.KeyOptions{Object: u.Object, ID: u.ID})
	mustSign(t, key)
	v.wantCustody(t, key, created)

	private, public := outsideKey(t)
	imported, err := v.maker(r, "imported").Import(t.Context(), private)
	if err != nil {
		t.Fatal(err)
	}
	u = parseURI(t, imported)
	key = r.key(pkcs11.KeyOptions{Object: u.Object, ID: u.ID})
	if e := v.wantCustody(t, key, signer.NonExtractable); !e.PublicKey.Equal(public) {
		t.Error("another public key than that of what was imported")
	}
	p := payload(t, "bundle")
	material, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := rsa.SignPKCS1v15(nil, private, crypto.Hash(0), material)
	if err != nil {
		t.Fatal(err)
	}
	got, err := key.Sign(t.Context(), []capgo.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	if string(got[0][:]) != string(want) {
		t.Error("the imported key does not make the signature that crypto/rsa makes")
	}
	v.hasNoEd25519(t, r)
}

func (v *rival) wantCustody(t *testing.T, key *pkcs11.Key, level signer.CustodyLevel) *signer.Evidence {
	t.Helper()
	e, err := key.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.Custody.Level != level {
		t.Errorf("custody %q, want %q: %v", e.Custody.Level, level, e.Custody.Evidence)
	}
	return e
}

func (v *rival) hasNoEd25519(t *testing.T, r *rig) {
	t.Helper()
	_, err := v.maker(r, "log").CreateLogKey(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "does not make Ed25519 keys")
}

// TestMakerOpencryptoki has a token that unwraps by CKM_AES_CBC_PAD only, and makes
// what it unwraps extractable until it is told once more.
func TestMakerOpencryptoki(t *testing.T) {
	tk := opencryptokitest.New(t)
	newRival(t, tk.Token, tk.PINFile).makes(t, signer.NeverExtractable)
}

// TestMakerNSS has a token that denies its own keys, and lets what it unwraps decrypt
// until it is told once more.
func TestMakerNSS(t *testing.T) {
	tk := nsstest.New(t)
	newRival(t, tk.Token, tk.PINFile).makes(t, signer.NonExtractable)
}

// TestMakerTPM has a token that makes no keys which only sign, because it makes such
// signatures by decrypting, and that unwraps nothing. Both are refused, and nothing is
// left of what was tried.
func TestMakerTPM(t *testing.T) {
	if pkg := tpmtest.Missing(); pkg != "" {
		t.Logf("not tested: %s is not installed", pkg)
		return
	}
	tk := tpmtest.New(t)
	v := newRival(t, tk.Token, tk.PINFile)
	r := newRig(t, v.config())
	_, err := v.maker(r, "made").Create(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "CKA_DECRYPT is true")
	private, _ := outsideKey(t)
	_, err = v.maker(r, "imported").Import(t.Context(), private)
	wantError(t, err, signer.ErrKeyUnusable, "a key is not given to the module in the clear")
	said, err := v.maker(r, "made").Plan(t.Context(), false)
	if err != nil {
		t.Errorf("something was left: %v", err)
	}
	if !strings.Contains(strings.Join(said, " "), `the label "made"`) {
		t.Errorf("the plan says %q", said)
	}
	v.hasNoEd25519(t, r)
}
