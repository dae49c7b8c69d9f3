package softhsmtest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/capgo"
)

// visits keeps two tests from being in the module at once: a process can
// initialize it only once at a time, whatever we would like.
var visits sync.Mutex

// RSAKey describes an RSA key to be generated in a token. The zero value of each
// field is what a signing key should have: 2048 bits, never extractable.
type RSAKey struct {
	Label       string
	ID          []byte // default: the label's bytes
	Bits        int    // default: 2048
	Extractable bool   // CKA_EXTRACTABLE true and CKA_SENSITIVE false
	NoSign      bool   // CKA_SIGN false
	Confirm     bool   // CKA_ALWAYS_AUTHENTICATE true
}

// GenerateKey has the token make an RSA-2048 key with exponent 65537, sensitive
// and never extractable, and returns its public half.
func (tk *Token) GenerateKey(label string) *capgo.PublicKey {
	tk.t.Helper()
	public, err := capgo.NewPublicKey(tk.Generate(RSAKey{Label: label}))
	must(tk.t, err)
	return public
}

// Generate has the token make an RSA key to order.
func (tk *Token) Generate(k RSAKey) *rsa.PublicKey {
	tk.t.Helper()
	if k.Bits == 0 {
		k.Bits = capgo.KeyBits
	}
	if k.ID == nil {
		k.ID = []byte(k.Label)
	}
	var public *rsa.PublicKey
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		publicHandle, _, err := ctx.GenerateKeyPair(s,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.Label),
				pkcs11.NewAttribute(pkcs11.CKA_ID, k.ID),
				pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
				pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, k.Bits),
				pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.Label),
				pkcs11.NewAttribute(pkcs11.CKA_ID, k.ID),
				pkcs11.NewAttribute(pkcs11.CKA_SIGN, !k.NoSign),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, !k.Extractable),
				pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, k.Extractable),
				pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, k.Confirm),
			})
		must(tk.t, err)
		attributes, err := ctx.GetAttributeValue(s, publicHandle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil)})
		must(tk.t, err)
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(attributes[0].Value), E: capgo.KeyExponent}
	})
	return public
}

// GenerateEC has the token make a P-256 key: one of the wrong type.
func (tk *Token) GenerateEC(label string) {
	tk.t.Helper()
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		prime256v1 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
		_, _, err := ctx.GenerateKeyPair(s,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, prime256v1),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
				pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
			})
		must(tk.t, err)
	})
}

// ImportKey brings a key that was made outside into the token, sensitive and not
// extractable, as a company does with the key that its apps carry already.
func (tk *Token) ImportKey(label string, key *rsa.PrivateKey) {
	tk.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(tk.t, err)
	path := filepath.Join(tk.t.TempDir(), "import.pem")
	must(tk.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	tk.util("--import", path, "--token", tk.Label, "--label", label, "--id", hex.EncodeToString([]byte(label)), "--pin", PIN)
	must(tk.t, os.Remove(path))
}

// Delete destroys every object with this label.
func (tk *Token) Delete(label string) {
	tk.t.Helper()
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		must(tk.t, ctx.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)}))
		found, _, err := ctx.FindObjects(s, 10)
		must(tk.t, err)
		must(tk.t, ctx.FindObjectsFinal(s))
		if len(found) == 0 {
			tk.t.Fatalf("there is nothing labelled %q to delete", label)
		}
		for _, o := range found {
			must(tk.t, ctx.DestroyObject(s, o))
		}
	})
}

// SetPIN changes the user PIN of the token, and not what is in the PIN file. After
// that, keys can be made in the token no more.
func (tk *Token) SetPIN(pin string) {
	tk.t.Helper()
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		must(tk.t, ctx.SetPIN(s, PIN, pin))
	})
}

// visit runs f in a session that is logged in to the token.
func (tk *Token) visit(f func(*pkcs11.Ctx, pkcs11.SessionHandle)) {
	tk.t.Helper()
	visits.Lock()
	defer visits.Unlock()
	if got := os.Getenv("SOFTHSM2_CONF"); got != tk.ConfPath {
		tk.t.Fatalf("SOFTHSM2_CONF is %q, not this token's: only the newest token of a test can be changed", got)
	}
	ctx := pkcs11.New(tk.ModulePath)
	if ctx == nil {
		tk.t.Fatalf("%s cannot be loaded", tk.ModulePath)
	}
	// The module stays loaded: unloading it is not worth the risk.
	must(tk.t, ctx.Initialize())
	defer func() { must(tk.t, ctx.Finalize()) }()
	s, err := ctx.OpenSession(tk.slot(ctx), pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(tk.t, err)
	must(tk.t, ctx.Login(s, pkcs11.CKU_USER, PIN))
	f(ctx, s)
}

func (tk *Token) slot(ctx *pkcs11.Ctx) uint {
	tk.t.Helper()
	slots, err := ctx.GetSlotList(true)
	must(tk.t, err)
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.Label == tk.Label {
			return slot
		}
	}
	tk.t.Fatalf("SoftHSM shows no token labelled %q", tk.Label)
	return 0
}
