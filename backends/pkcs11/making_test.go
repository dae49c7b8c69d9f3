package pkcs11_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"syscall"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// makingRig is an empty token behind a fake module that does wrong to order.
type makingRig struct {
	t     *testing.T
	token *softhsmtest.Token
	fake  *faultmodule.Module
	*rig
}

func newMakingRig(t *testing.T) *makingRig {
	t.Helper()
	tk := softhsmtest.New(t)
	fake := faultmodule.New(t, tk.ModulePath)
	cfg := softHSM(t, tk)
	cfg.ModulePath = fake.Path()
	return &makingRig{t, tk, fake, newRig(t, cfg)}
}

func (m *makingRig) maker(object string) *pkcs11.Maker {
	m.t.Helper()
	u := &uri.URI{Token: uri.Token{Label: m.token.Label}, Object: object, ModulePath: m.fake.Path(), PIN: uri.PINSource{Path: m.token.PINFile}}
	k := m.Maker(u, 0)
	m.t.Cleanup(func() {
		if err := k.Close(); err != nil {
			m.t.Errorf("closing the maker: %v", err)
		}
	})
	return k
}

// create and imported make the key acme, once with a key pair and once with a key
// from outside.
func (m *makingRig) create() error {
	_, err := m.maker("acme").Create(m.t.Context())
	return err
}

func (m *makingRig) imported() error {
	m.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = m.maker("acme").Import(m.t.Context(), private)
	return err
}

func (m *makingRig) wantObjects(n int) {
	m.t.Helper()
	if got := m.token.Objects(); got != n {
		m.t.Errorf("%d objects in the token, want %d", got, n)
	}
}

// TestLyingToken has the token accept every template and then show a key that is
// not what was asked for. It is not kept.
func TestLyingToken(t *testing.T) {
	for _, test := range []struct {
		name      string
		attribute uint64
		value     bool
		created   bool // it matters only for a key that the token made
	}{
		{"CKA_EXTRACTABLE is true", p11.CKA_EXTRACTABLE, true, false},
		{"CKA_SENSITIVE is false", p11.CKA_SENSITIVE, false, false},
		{"CKA_PRIVATE is false", p11.CKA_PRIVATE, false, false},
		{"CKA_SIGN is false", p11.CKA_SIGN, false, false},
		{"CKA_DECRYPT is true", p11.CKA_DECRYPT, true, false},
		{"CKA_UNWRAP is true", p11.CKA_UNWRAP, true, false},
		{"CKA_DERIVE is true", p11.CKA_DERIVE, true, false},
		{"CKA_SIGN_RECOVER is true", p11.CKA_SIGN_RECOVER, true, false},
		{"CKA_NEVER_EXTRACTABLE is false", p11.CKA_NEVER_EXTRACTABLE, false, true},
		{"CKA_ALWAYS_SENSITIVE is false", p11.CKA_ALWAYS_SENSITIVE, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMakingRig(t)
			m.fake.Claim(test.attribute, test.value)
			wantError(t, m.create(), signer.ErrKeyUnusable, test.name)
			m.wantObjects(0)
			if !test.created {
				before := m.fake.Calls("C_CreateObject")
				wantError(t, m.imported(), signer.ErrKeyUnusable, test.name)
				m.wantObjects(0)
				if m.fake.Calls("C_CreateObject") != before {
					t.Error("something durable was made before the key was looked at")
				}
			}
		})
	}
}

// TestTokenDeniesItsOwnKey has the token say that a key which it has just made is not
// its own, as NSS does. The key is as good, but its custody is not the best, and
// the log says so.
func TestTokenDeniesItsOwnKey(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Claim(p11.CKA_LOCAL, false)
	if err := m.create(); err != nil {
		t.Fatal(err)
	}
	entries := m.logs.FilterMessageSnippet("does not show all that would prove it").All()
	if len(entries) != 1 || entries[0].ContextMap()["custody"] != string(signer.NonExtractable) {
		t.Errorf("the log says %v", entries)
	}
}

// TestNewKeyThatSignsWrongly has the first signature of a new key be wrong.
func TestNewKeyThatSignsWrongly(t *testing.T) {
	for _, name := range []string{"create", "import"} {
		t.Run(name, func(t *testing.T) {
			m := newMakingRig(t)
			m.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.FlipBit})
			run := map[string]func() error{"create": m.create, "import": m.imported}[name]
			err := run()
			wantError(t, err, signer.ErrKeyUnusable, "made a wrong signature")
			wantError(t, err, signer.ErrKeyUnusable, "nothing of it is left in the token")
			m.wantObjects(0)
		})
	}
}

// TestMakingIsCutOff has the module take its process with it at each step. What is
// left in the token is what the error says, and stands in the way of the next.
func TestMakingIsCutOff(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault faultmodule.Fault
		run   func(*makingRig) error
		left  int
	}{
		{"before the key pair", faultmodule.Fault{Function: "C_GenerateKeyPair"}, (*makingRig).create, 0},
		{"after the key pair", faultmodule.Fault{Function: "C_GenerateKeyPair", Late: true}, (*makingRig).create, 2},
		{"with the import's key pair", faultmodule.Fault{Function: "C_GenerateKeyPair", Late: true}, (*makingRig).imported, 0},
		// SoftHSM is asked for the AES key with SHA-256, with SHA-1, and with
		// SHA-1 and without CKA_VALUE_LEN.
		{"with the AES key", faultmodule.Fault{Function: "C_UnwrapKey", Skip: 2, Late: true}, (*makingRig).imported, 0},
		{"in the rehearsal", faultmodule.Fault{Function: "C_UnwrapKey", Skip: 3, Late: true}, (*makingRig).imported, 0},
		{"before the private key", faultmodule.Fault{Function: "C_UnwrapKey", Skip: 4}, (*makingRig).imported, 0},
		{"after the private key", faultmodule.Fault{Function: "C_UnwrapKey", Skip: 4, Late: true}, (*makingRig).imported, 1},
		{"before the public key", faultmodule.Fault{Function: "C_CreateObject"}, (*makingRig).imported, 1},
		{"after the public key", faultmodule.Fault{Function: "C_CreateObject", Late: true}, (*makingRig).imported, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMakingRig(t)
			test.fault.Action, test.fault.Times = faultmodule.Crash, 1
			m.fake.Inject(test.fault)
			err := test.run(m)
			want := "nothing of it is left in the token"
			if test.left > 0 {
				want = "remove object=acme;id="
			}
			wantError(t, err, signer.ErrUnavailable, want)
			m.wantObjects(test.left)
			if n := m.fake.Calls("C_DestroyObject"); n != 0 {
				t.Errorf("%d objects were destroyed by a process that did not make them", n)
			}
			err = m.create()
			if test.left == 0 {
				if err != nil {
					t.Errorf("the next attempt: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "interrupted attempt") {
				t.Errorf("the next attempt: %v", err)
			}
			m.wantObjects(test.left)
		})
	}
}

// TestMakingHangs has the module hang with the key half way. Making a key pair may
// take minutes, so it is the unwrapping that hangs here.
func TestMakingHangs(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Inject(faultmodule.Fault{Function: "C_UnwrapKey", Action: faultmodule.Hang, Skip: 3, Times: 1})
	wantError(t, m.imported(), signer.ErrUnavailable, "nothing of it is left in the token")
	m.wantObjects(0)
	if err := m.create(); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

// TestTokenRefusesAnAttribute has the token not know one of the attributes that are
// only wanted. The key is made without, and the log says so.
func TestTokenRefusesAnAttribute(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Inject(faultmodule.Fault{Function: "C_GenerateKeyPair", Code: 0x12, Times: 1})
	if err := m.create(); err != nil {
		t.Fatal(err)
	}
	entries := m.logs.FilterMessageSnippet("did not take everything").All()
	if len(entries) != 1 {
		t.Fatalf("%d log entries, want 1", len(entries))
	}
	refused := entries[0].ContextMap()["attributes_refused"].([]any)
	if len(refused) != 1 || refused[0] != "CKA_DERIVE" {
		t.Errorf("the log says that %v was refused, want CKA_DERIVE", refused)
	}
	m.wantObjects(2)
}

func TestTokenRefusesEveryTemplate(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Inject(faultmodule.Fault{Function: "C_GenerateKeyPair", Code: 0x12})
	wantError(t, m.create(), signer.ErrKeyUnusable, "C_GenerateKeyPair refused the key: CKR_ATTRIBUTE_TYPE_INVALID")
	m.wantObjects(0)
	// Eight attributes are only wanted: all, each one left out, two to eight.
	if n := m.fake.Calls("C_GenerateKeyPair"); n != 1+8+7 {
		t.Errorf("%d attempts", n)
	}
}

// TestTokenCannotUnwrap has the token refuse every mechanism in use, whatever it
// says of itself. The key is not given to it in the clear instead.
func TestTokenCannotUnwrap(t *testing.T) {
	for _, skip := range []int{0, 3} {
		m := newMakingRig(t)
		m.fake.Inject(faultmodule.Fault{Function: "C_UnwrapKey", Code: 0x70, Skip: skip})
		wantError(t, m.imported(), signer.ErrKeyUnusable, "a key is not given to the module in the clear")
		if n := m.fake.Calls("C_CreateObject"); n != 0 {
			t.Errorf("%d objects were created", n)
		}
		m.wantObjects(0)
	}
}

// TestTokenBreaksWhileUnwrapping has the token fail for reasons that say nothing of
// what it can do.
func TestTokenBreaksWhileUnwrapping(t *testing.T) {
	for _, skip := range []int{0, 3, 4} {
		m := newMakingRig(t)
		m.fake.Inject(faultmodule.Fault{Function: "C_UnwrapKey", Code: 0x32, Skip: skip})
		err := m.imported()
		wantError(t, err, signer.ErrUnavailable, "C_UnwrapKey failed: CKR_DEVICE_REMOVED")
		wantError(t, err, signer.ErrUnavailable, "nothing of it is left in the token")
		m.wantObjects(0)
	}
}

// TestTokenTakesNoPublicKey has an imported key do without a public key beside it.
func TestTokenTakesNoPublicKey(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Inject(faultmodule.Fault{Function: "C_CreateObject", Code: 0x30})
	if err := m.imported(); err != nil {
		t.Fatal(err)
	}
	m.wantObjects(1)
	if n := m.logs.FilterMessageSnippet("did not take everything").Len(); n == 0 {
		t.Error("the log does not say so")
	}
}

// TestNotRemoved has the token keep a key that is to be taken back.
func TestNotRemoved(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Claim(p11.CKA_EXTRACTABLE, true)
	m.fake.Inject(faultmodule.Fault{Function: "C_DestroyObject", Code: 0x1B})
	err := m.create()
	wantError(t, err, signer.ErrKeyUnusable, "CKA_EXTRACTABLE is true")
	wantError(t, err, signer.ErrKeyUnusable, "remove object=acme;id=")
	m.wantObjects(2)
}

func TestWriteProtectedToken(t *testing.T) {
	m := newMakingRig(t)
	m.fake.SetFlags(p11.CKF_WRITE_PROTECTED, 0)
	wantError(t, m.create(), signer.ErrKeyUnusable, "write-protected")
	_, err := m.maker("acme").Plan(t.Context(), true)
	wantError(t, err, signer.ErrKeyUnusable, "write-protected")
}

// cancelledOnce is a context that ends as soon as something has happened.
type cancelledOnce struct {
	context.Context
	cancel   context.CancelFunc
	happened func() bool
}

func (c cancelledOnce) Err() error {
	if c.happened() {
		c.cancel()
	}
	return c.Context.Err()
}

// TestMakingIsCancelled has the caller give up while the token thinks. The key that
// comes of it is not kept.
func TestMakingIsCancelled(t *testing.T) {
	for _, name := range []string{"create", "import"} {
		t.Run(name, func(t *testing.T) {
			m := newMakingRig(t)
			private, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			inner, cancel := context.WithCancel(t.Context())
			defer cancel()
			ctx := cancelledOnce{inner, cancel, func() bool { return m.fake.Calls("C_GenerateKeyPair") > 0 }}
			k := m.maker("acme")
			if name == "create" {
				_, err = k.Create(ctx)
			} else {
				_, err = k.Import(ctx, private)
			}
			wantError(t, err, context.Canceled, "nothing of it is left in the token")
			m.wantObjects(0)
		})
	}
}

// TestOneKeyAtATime makes a second key while the token works on the first, which
// takes until its process is killed.
func TestOneKeyAtATime(t *testing.T) {
	m := newMakingRig(t)
	m.fake.Inject(faultmodule.Fault{Function: "C_GenerateKeyPair", Action: faultmodule.Hang, Times: 1})
	var wg sync.WaitGroup
	wg.Go(func() { wantError(t, m.create(), signer.ErrUnavailable, "nothing of it is left in the token") })
	eventually(t, "the token makes a key pair", func() bool { return m.fake.Calls("C_GenerateKeyPair") > 0 })
	_, err := m.maker("other").Create(t.Context())
	wantError(t, err, signer.ErrUnavailable, "another key is being made")
	_, err = m.maker("other").Plan(t.Context(), false)
	if err != nil {
		t.Errorf("only looking: %v", err)
	}
	m.signal(m.pid(), syscall.SIGKILL)
	wg.Wait()
	if _, err := m.maker("other").Create(t.Context()); err != nil {
		t.Errorf("the second, after the first: %v", err)
	}
	m.wantObjects(2)
}

// TestTokenWithoutEdDSA has the token not sign with an Ed25519 key that it holds.
func TestTokenWithoutEdDSA(t *testing.T) {
	m := newMakingRig(t)
	m.token.GenerateEd25519("log")
	k := m.logKey(pkcs11.KeyOptions{Object: "log"})
	m.fake.Inject(faultmodule.Fault{Function: "C_SignInit", Code: 0x70})
	_, err := k.SignCheckpoint(t.Context(), emptyLog(t))
	wantError(t, err, signer.ErrKeyUnusable, "the token does not sign with CKM_EDDSA")
	m.fake.Inject(faultmodule.Fault{Function: "C_GetMechanismInfo", Code: 0x70})
	_, err = k.PublicKey(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "the token does not sign with CKM_EDDSA")
	_, err = m.maker("another-log").CreateLogKey(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "does not make Ed25519 keys")
}

// TestLogKeyUnderFaults has the sessions of the log's key fail as any key's may.
func TestLogKeyUnderFaults(t *testing.T) {
	for _, fault := range []faultmodule.Fault{
		{Function: "C_Sign", Code: 0xB3},     // CKR_SESSION_HANDLE_INVALID
		{Function: "C_SignInit", Code: 0x82}, // CKR_OBJECT_HANDLE_INVALID
		{Function: "C_Sign", Code: 0x30},     // CKR_DEVICE_ERROR
		{Function: "C_SignInit", Action: faultmodule.Crash},
	} {
		m := newMakingRig(t)
		m.token.GenerateEd25519("log")
		k := m.logKey(pkcs11.KeyOptions{Object: "log"})
		fault.Times = 1
		m.fake.Inject(fault)
		if _, err := k.SignCheckpoint(t.Context(), emptyLog(t)); err != nil {
			t.Errorf("%s %s once: %v", fault.Function, fault.Code, err)
		}
	}
	m := newMakingRig(t)
	m.token.GenerateEd25519("log")
	k := m.logKey(pkcs11.KeyOptions{Object: "log"})
	m.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.CutByte})
	_, err := k.SignCheckpoint(t.Context(), emptyLog(t))
	wantError(t, err, signer.ErrKeyUnusable, "a signature of 63 bytes, want 64")
}
