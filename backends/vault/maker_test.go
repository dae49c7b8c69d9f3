package vault_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

var _ backends.KeyMaker = (*vault.Maker)(nil)

// makerURI returns the URI of a key to be made, with a token that has the documented
// policy for that.
func makerURI(s *vaulttest.Server, name string) (uri, token string) {
	policy := "make-" + name
	s.PolicyFile(policy, "policy-maker.hcl", name)
	file, token := s.Token(map[string]any{"policies": []string{policy}})
	return "hashivault://transit/" + name + "?address=" + s.Address + "&ca-file=" + s.CAFile + "&token-file=" + file, token
}

func maker(t *testing.T, uri string) *vault.Maker {
	t.Helper()
	u, err := vault.ParseNewURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	m := vault.NewMaker(vault.Config{URI: u, Logger: zaptest.NewLogger(t)})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing the maker: %v", err)
		}
	})
	return m
}

func TestMakerConformance(t *testing.T) {
	s := vaulttest.New(t)
	uris := map[string]string{}
	makerURIOf := func(name string) string {
		if uris[name] == "" {
			uris[name], _ = makerURI(s, name)
		}
		return uris[name]
	}
	makerURIOf("unfit-unasked") // whose Vault is sealed when its maker is asked for
	backendtest.RunMaker(t, backendtest.MakerHarness{
		Maker: func(t *testing.T, name string) backends.KeyMaker {
			return maker(t, makerURIOf(name))
		},
		Open: func(t *testing.T, uri string) signer.Key { return open(t, uri) },
		Keys: func(*testing.T) int { return s.Keys() },
		Extract: func(t *testing.T, uri string) error {
			u, err := vault.ParseURI(uri)
			if err != nil {
				t.Fatal(err)
			}
			return s.Export(u.Key)
		},
		Versions: true,
		Backend:  vault.Backend,
		Created:  signer.NonExtractable,
		Imported: signer.NonExtractable,
		Break:    func(*testing.T) func() { s.Seal(); return s.Unseal },
		Secrets:  []string{s.Root.Token()},
	})
}

func newKey(t *testing.T) (*rsa.PrivateKey, *capgo.PublicKey) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// A rotation keeps the old version in service beside the new one, for a daemon with
// the daemon's policy.
func TestMakerRotates(t *testing.T) {
	s, uri := withToken(t)
	old := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, old)
	newURI, _ := makerURI(s, keyName)
	m := maker(t, newURI)
	said, err := m.Plan(t.Context(), false)
	if err != nil || !strings.Contains(strings.Join(said, " "), "makes version 2 of the key transit/acme-shop") {
		t.Errorf("the plan is %q, error %v", said, err)
	}
	made, err := m.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(newURI, "?", "?version=2&", 1); made != want {
		t.Errorf("URI %s, want %s", made, want)
	}
	works(t, k, old)
	works(t, open(t, strings.Replace(uri, "version=1", "version=2", 1)), s.PublicKey(keyName, 2))
	if e, err := k.Inspect(t.Context()); err != nil || !e.PublicKey.Equal(old) {
		t.Errorf("version 1 is another key now, error %v", err)
	}
}

// Both share a Vault, whose wrapping key for imports takes seconds to make.
func TestMakerAndImportedKeys(t *testing.T) {
	s := vaulttest.New(t)
	t.Run("versions", func(t *testing.T) { importsVersions(t, s) })
	s.DeleteKey(keyName)
	t.Run("rotation", func(t *testing.T) { rotatesImported(t, s) })
}

// An imported key takes imported versions and no others; Vault's own take no import.
func importsVersions(t *testing.T, s *vaulttest.Server) {
	newURI, _ := makerURI(s, keyName)
	m := maker(t, newURI)
	first, firstPublic := newKey(t)
	uri, err := m.Import(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	works(t, open(t, uri), firstPublic)

	_, err = m.Import(t.Context(), first)
	fails(t, err, signer.ErrKeyUnusable, "is version 1 already", uri)
	_, err = m.Create(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "was imported", "imported_key_allow_rotation", "another name")
	if _, err = m.Plan(t.Context(), false); err == nil {
		t.Error("a rotation is planned that Vault does not allow")
	}

	second, secondPublic := newKey(t)
	if said, err := m.Plan(t.Context(), true); err != nil || !strings.Contains(strings.Join(said, " "), "becomes version 2") {
		t.Errorf("the plan is %q, error %v", said, err)
	}
	secondURI, err := m.Import(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	works(t, open(t, secondURI), secondPublic)
	works(t, open(t, uri), firstPublic)
	if n := s.Keys(); n != 2 {
		t.Errorf("%d versions in Vault, want 2", n)
	}
	e, err := open(t, secondURI).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Custody.Evidence["imported_key"]; got != "true" {
		t.Errorf("evidence imported_key is %q, want true", got)
	}
}

// Keys that exist and cannot get a version, each for its reason; nothing is done.
func TestMakerObstacles(t *testing.T) {
	s := vaulttest.New(t)
	uri, _ := makerURI(s, keyName)
	private, _ := newKey(t)
	for _, test := range []struct {
		name string
		key  map[string]any
		says string
	}{
		{"another type", map[string]any{"type": "ecdsa-p256"}, `type "ecdsa-p256"`},
		{"another size", map[string]any{"type": "rsa-3072"}, `type "rsa-3072"`},
		{"exportable", map[string]any{"type": "rsa-2048", "exportable": true}, "may leave Vault"},
		{"plaintext backup", map[string]any{"type": "rsa-2048", "allow_plaintext_backup": true}, "may leave Vault"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.Write("transit/keys/"+keyName, test.key)
			defer s.DeleteKey(keyName)
			m := maker(t, uri)
			for _, importing := range []bool{false, true} {
				_, err := m.Plan(t.Context(), importing)
				fails(t, err, signer.ErrKeyUnusable, test.says, "another name")
			}
			_, err := m.Create(t.Context())
			fails(t, err, signer.ErrKeyUnusable, test.says)
			_, err = m.Import(t.Context(), private)
			fails(t, err, signer.ErrKeyUnusable, test.says)
			if n := s.Keys(); n != 1 {
				t.Errorf("%d versions in Vault, want 1", n)
			}
		})
	}
	t.Run("no engine", func(t *testing.T) {
		s.PolicyFile("nowhere", "policy-maker.hcl", keyName)
		text, err := s.Root.Sys().GetPolicy("nowhere")
		if err != nil {
			t.Fatal(err)
		}
		s.WritePolicy(strings.ReplaceAll(text, "transit/", "nowhere/"))
		file, _ := s.Token(nil)
		m := maker(t, "hashivault://nowhere/"+keyName+"?address="+s.Address+"&ca-file="+s.CAFile+"&token-file="+file)
		_, err = m.Plan(t.Context(), false)
		fails(t, err, signer.ErrKeyUnusable, "found no transit engine", "nowhere")
	})
}

// A rotation of what was imported, where Vault may do so: what Vault forgets is told.
func rotatesImported(t *testing.T, s *vaulttest.Server) {
	private, public := newKey(t)
	s.ImportKey(keyName, private, map[string]any{"allow_rotation": true})
	s.ConfigureKey(keyName, map[string]any{"auto_rotate_period": "24h", "deletion_allowed": true})
	newURI, _ := makerURI(s, keyName)
	m := maker(t, newURI)
	said, err := m.Plan(t.Context(), false)
	text := strings.Join(said, " ")
	for _, want := range []string{"no longer says that older versions were imported", "every 24h0m0s", "deletion_allowed"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("the plan %q does not say %q; error %v", text, want, err)
		}
	}
	uri, err := m.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	works(t, open(t, uri), s.PublicKey(keyName, 2))
	works(t, open(t, strings.Replace(uri, "version=2", "version=1", 1)), public)
	if _, err := m.Plan(t.Context(), true); err == nil {
		t.Error("an import is planned that Vault does not take")
	}
}

// What the documented policy does not allow: anything but such keys, and anything but
// making them.
func TestMakerPolicyIsLeast(t *testing.T) {
	s := vaulttest.New(t)
	_, token := makerURI(s, keyName)
	client := s.Client(token)
	refused := func(path string, body map[string]any) {
		t.Helper()
		if _, err := client.Logical().Write(path, body); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("writing %v to %s: error %v, want permission denied", body, path, err)
		}
	}
	key := "transit/keys/" + keyName
	refused(key, map[string]any{"type": "ecdsa-p256"})
	refused(key, map[string]any{"type": "rsa-2048", "exportable": true})
	refused(key, map[string]any{"type": "rsa-2048", "exportable": "1"})
	refused(key, map[string]any{"type": "rsa-2048", "allow_plaintext_backup": true})
	refused(key, map[string]any{"type": "rsa-2048", "auto_rotate_period": "1h"})
	refused("transit/keys/another", map[string]any{"type": "rsa-2048"})
	refused(key+"/import", map[string]any{"type": "rsa-2048", "ciphertext": "AAAA", "exportable": true})
	refused(key+"/import", map[string]any{"type": "rsa-2048", "ciphertext": "AAAA", "allow_rotation": true})
	refused(key+"/import", map[string]any{"ciphertext": "AAAA"})
	if n := s.Keys(); n != 0 {
		t.Fatalf("%d keys were made", n)
	}
	s.CreateKey(keyName)
	refused(key+"/config", map[string]any{"exportable": true})
	refused(key+"/config", map[string]any{"deletion_allowed": true})
	refused(key+"/trim", map[string]any{"min_available_version": 1})
	refused("transit/decrypt/"+keyName, map[string]any{"ciphertext": "vault:v1:AAAA"})
	refused("transit/encrypt/"+keyName, map[string]any{"plaintext": "AAAA"})
	for _, path := range []string{"transit/export/signing-key/" + keyName, "transit/backup/" + keyName} {
		if _, err := client.Logical().Read(path); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("reading %s: error %v, want permission denied", path, err)
		}
	}
	if _, err := client.Logical().Delete(key); err == nil {
		t.Error("the key was deleted")
	}
}

// The daemon's own token makes no keys, and the message says which policy does.
func TestMakerWithoutPolicy(t *testing.T) {
	_, uri := withToken(t)
	m := maker(t, strings.Replace(uri, "version=1&", "", 1))
	_, err := m.Create(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "policies do not allow it", "policy-maker.hcl", "nothing was done")
}
