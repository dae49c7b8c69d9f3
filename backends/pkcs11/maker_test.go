package pkcs11_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

func parseURI(t *testing.T, s string) *uri.URI {
	t.Helper()
	u, err := uri.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// softHSMMaker returns a maker of a key in a child of its own.
func softHSMMaker(t *testing.T, tk *softhsmtest.Token, object string) (*rig, *pkcs11.Maker) {
	t.Helper()
	r := newRig(t, softHSM(t, tk))
	k := r.Maker(parseURI(t, tk.URI(object)), 0)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the maker: %v", err)
		}
	})
	return r, k
}

// openURI opens the key that a URI names in a child of its own.
func openURI(t *testing.T, tk *softhsmtest.Token, s string) (*rig, *pkcs11.Key) {
	t.Helper()
	u := parseURI(t, s)
	r := newRig(t, softHSM(t, tk))
	return r, r.key(pkcs11.KeyOptions{Object: u.Object, ID: u.ID})
}

func hsmSecrets() []string {
	pin := []byte(softhsmtest.PIN)
	return []string{softhsmtest.PIN, softhsmtest.SOPIN, hex.EncodeToString(pin), base64.StdEncoding.EncodeToString(pin)}
}

func TestMaker(t *testing.T) {
	tk := softhsmtest.New(t)
	backendtest.RunMaker(t, backendtest.MakerHarness{
		Maker: func(t *testing.T, name string) backends.KeyMaker {
			t.Helper()
			_, k := softHSMMaker(t, tk, name)
			return k
		},
		Open: func(t *testing.T, s string) signer.Key {
			t.Helper()
			_, k := openURI(t, tk, s)
			return k
		},
		Keys:     func(*testing.T) int { return tk.PrivateKeys() },
		Extract:  func(t *testing.T, s string) error { t.Helper(); return tk.Extract(parseURI(t, s).Object) },
		Backend:  pkcs11.Backend,
		Created:  signer.NeverExtractable,
		Imported: signer.NonExtractable,
		Break:    func(*testing.T) func() { return tk.Hide() },
		Secrets:  hsmSecrets(),
	})
}

func TestMakerTakesTheID(t *testing.T) {
	tk := softhsmtest.New(t)
	r := newRig(t, softHSM(t, tk))
	given := parseURI(t, tk.URI("acme"))
	given.ID = "\x00\x01any"
	made, err := r.Maker(given, 0).Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if made != given.String() {
		t.Errorf("made %s, want %s", made, given)
	}
	// Another label, but the id is taken.
	given.Object = "other"
	for name, call := range map[string]func() error{
		"create": func() error { _, err := r.Maker(given, 0).Create(t.Context()); return err },
		"plan":   func() error { _, err := r.Maker(given, 0).Plan(t.Context(), false); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "a key with this id already") {
			t.Errorf("%s with an id that is taken: %v", name, err)
		}
	}
	// Without an id each key gets one of its own.
	seen := map[string]bool{given.ID: true}
	for _, object := range []string{"one", "two"} {
		u, err := r.Maker(parseURI(t, tk.URI(object)), 0).Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id := parseURI(t, u).ID
		if len(id) != 20 || seen[id] {
			t.Errorf("key %s has the id %x, of %d bytes", object, id, len(id))
		}
		seen[id] = true
	}
}

func TestMakerNeedsALabel(t *testing.T) {
	tk := softhsmtest.New(t)
	r := newRig(t, softHSM(t, tk))
	u := parseURI(t, tk.URI("acme"))
	u.Object, u.ID = "", "\x01"
	_, err := r.Maker(u, 0).Create(t.Context())
	if err == nil || !strings.Contains(err.Error(), "add object=") {
		t.Errorf("error %v", err)
	}
	if n := tk.Objects(); n != 0 {
		t.Errorf("%d objects in the token", n)
	}
}

// TestMakerMakesNothingElse counts what an import leaves beside the key: the keys
// that protect its way are to be gone.
func TestMakerMakesNothingElse(t *testing.T) {
	tk := softhsmtest.New(t)
	r, k := softHSMMaker(t, tk, "acme")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	made, err := k.Import(t.Context(), private)
	if err != nil {
		t.Fatal(err)
	}
	if n := tk.Objects(); n != 2 {
		t.Errorf("%d objects in the token, want a private and a public key", n)
	}
	// The very same key under another label would be two that match by id.
	_, err = r.Maker(parseURI(t, tk.URI("other")), 0).Import(t.Context(), private)
	if err == nil || !strings.Contains(err.Error(), "under another label") {
		t.Errorf("importing the key again: %v", err)
	}
	if n := tk.Objects(); n != 2 {
		t.Errorf("%d objects in the token after a refused import, want 2", n)
	}
	// The maker's own child has the key at once.
	u := parseURI(t, made)
	mustSign(t, r.key(pkcs11.KeyOptions{Object: u.Object, ID: u.ID}))
}

// TestMakerFindsWhatWasLeft has an earlier attempt die between its steps: whichever
// of its objects is left, the next attempt says so and makes nothing.
func TestMakerFindsWhatWasLeft(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.Generate(softhsmtest.RSAKey{Label: "acme"})
	tk.DeletePublic("acme")
	_, k := softHSMMaker(t, tk, "acme")
	_, err := k.Create(t.Context())
	if err == nil || !strings.Contains(err.Error(), "interrupted attempt") {
		t.Errorf("error %v", err)
	}
	if n := tk.Objects(); n != 1 {
		t.Errorf("%d objects in the token, want the 1 that was left", n)
	}
}

func TestMakerClosed(t *testing.T) {
	tk := softhsmtest.New(t)
	_, k := softHSMMaker(t, tk, "acme")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := k.Plan(t.Context(), false)
	if !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("a plan of a closed maker: %v", err)
	}
	if _, err := k.Create(t.Context()); !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("creating with a closed maker: %v", err)
	}
	if n := tk.Objects(); n != 0 {
		t.Errorf("%d objects in the token", n)
	}
}
