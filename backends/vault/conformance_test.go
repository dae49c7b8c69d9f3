package vault_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// A key that Vault made, used through an AppRole; sealing Vault breaks it.
func TestConformanceGenerated(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	roleID, secretID := s.AppRole(nil), s.SecretID()
	uri := keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", s.File(secretID))
	backendtest.Run(t, backendtest.Harness{
		Open:      func(t *testing.T) signer.Key { return open(t, uri) },
		PublicKey: public,
		Backend:   "vault",
		Level:     signer.NonExtractable,
		Break:     func(*testing.T) func() { s.Seal(); return s.Unseal },
		Secrets:   []string{secretID},
	})
}

// A key that was made outside, used with a token in a file; the Vault's end breaks it.
func TestConformanceImported(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	s := vaulttest.New(t)
	s.ImportKey(keyName, key, nil)
	s.Policy(keyName)
	file, token := s.Token(nil)
	backendtest.Run(t, backendtest.Harness{
		Open:       func(t *testing.T) signer.Key { return open(t, keyURI(s, "token-file", file)) },
		PublicKey:  public,
		PrivateKey: key,
		Backend:    "vault",
		Level:      signer.NonExtractable,
		Break:      func(*testing.T) func() { s.Stop(); return s.Start },
		Secrets:    []string{token},
	})
}
