package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/signer"
)

func TestAppRoleRefused(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	roleID := s.AppRole(nil)
	const wrong = "11111111-2222-3333-4444-555555555555"
	file := s.File(wrong)
	k := open(t, keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", file))
	for range 8 {
		_, err := k.Inspect(t.Context())
		fails(t, err, signer.ErrKeyUnusable, "refuses the credential", file)
		if err != nil && strings.Contains(err.Error(), wrong) {
			t.Error("the error holds the secret id")
		}
	}
	_, err := k.Inspect(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "not tried again")
	// The file is put right, and tried at once. Had there been a try for each call, Vault
	// 1.13 would have locked the role out.
	replace(t, file, s.SecretID())
	works(t, k, public)
}

func TestAppRoleWrapped(t *testing.T) {
	const path = "auth/approle/role/bundlesignd/secret-id"
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	roleID := s.AppRole(nil)
	file := s.File(s.Wrap(path))
	uri := keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", file, "wrapped", "true")
	k := open(t, uri)
	works(t, k, public)
	s.RevokeLogins("approle")
	works(t, k, public) // with the secret id that is in memory

	// After a restart the wrapping token is spent.
	again := open(t, uri)
	refused(t, again, signer.ErrKeyUnusable, "used already", "somebody else", file)
	replace(t, file, s.Wrap(path))
	works(t, again, public)

	// Something else in a wrapping is not taken for a secret id.
	replace(t, file, s.Wrap("transit/random/16"))
	swapped := open(t, uri)
	refused(t, swapped, signer.ErrKeyUnusable, "may have been swapped", "transit/random/16")

	replace(t, file, "hvs.nonsense")
	refused(t, swapped, signer.ErrKeyUnusable, "wrapping token", "not good")
}

// While a token lives as short as this, a key works all the time: it is prolonged
// until it reaches its greatest age, and then replaced.
func TestRenewedAndReplaced(t *testing.T) {
	s, uri := withAppRole(t, map[string]any{"token_ttl": "2s", "token_max_ttl": "4s"})
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	began := time.Now()
	eventually(t, 30*time.Second, func() error {
		works(t, k, public)
		if k.Logins() < 3 {
			return errors.New("fewer than three tokens")
		}
		return nil
	})
	// Two more tokens than the first: without prolonging any, they would have been
	// there after two thirds of 2 s, twice.
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("the third token came after %s: none was prolonged", took)
	}
}

func TestTokenInFileIsRenewed(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(map[string]any{"period": "2s"})
	k := open(t, keyURI(s, "token-file", file))
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		works(t, k, public)
	}
}

func TestTokenInFileExpires(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(map[string]any{"ttl": "1s", "explicit_max_ttl": "1s"})
	k := open(t, keyURI(s, "token-file", file))
	works(t, k, public)
	eventually(t, 30*time.Second, func() error {
		if sign(t, k, public) == nil {
			return errors.New("the token is still good")
		}
		return nil
	})
	refused(t, k, signer.ErrKeyUnusable, "does not know the token", file)
}

func TestCert(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	certFile, keyFile := s.Cert()
	k := open(t, keyURI(s, "auth", "cert", "cert-file", certFile, "key-file", keyFile))
	works(t, k, public)
	s.RevokeLogins("cert")
	works(t, k, public)

	_, otherKey := vaulttest.New(t).Cert()
	k = open(t, keyURI(s, "auth", "cert", "cert-file", certFile, "key-file", otherKey))
	refused(t, k, signer.ErrKeyUnusable, "are not a certificate and its private key")

	otherCert, otherKey := vaulttest.New(t).Cert()
	k = open(t, keyURI(s, "auth", "cert", "cert-file", otherCert, "key-file", otherKey))
	refused(t, k, signer.ErrKeyUnusable, "refuses the credential", otherCert)
}

func TestJWT(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	issue := s.JWT()
	expired := issue(-10 * time.Minute)
	file := s.File(expired)
	k := open(t, keyURI(s, "auth", "jwt", "role", "bundlesignd", "jwt-file", file))
	_, err := k.Inspect(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "refuses the credential", "has not expired", file)
	if err != nil && strings.Contains(err.Error(), expired) {
		t.Error("the error holds the JWT")
	}
	replace(t, file, issue(time.Hour))
	works(t, k, public)
	s.RevokeLogins("jwt")
	works(t, k, public)
	replace(t, file, "not.a.jwt")
	works(t, k, public) // the token is good
	s.RevokeLogins("jwt")
	refused(t, k, signer.ErrKeyUnusable, "refuses the credential")
}

func TestNoSuchMethod(t *testing.T) {
	s := vaulttest.New(t)
	k := open(t, keyURI(s, "auth", "approle", "auth-mount", "elsewhere", "role-id", "x", "secret-id-file", s.File("y")))
	refused(t, k, signer.ErrKeyUnusable, "auth/elsewhere")
}

func TestKubernetesWithFakeCluster(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	file := s.FakeKubernetes()
	k := open(t, keyURI(s, "auth", "kubernetes", "role", "bundlesignd", "jwt-file", file))
	works(t, k, public)
	s.RevokeLogins("kubernetes")
	works(t, k, public)
	k = open(t, keyURI(s, "auth", "kubernetes", "role", "another", "jwt-file", file))
	refused(t, k, signer.ErrKeyUnusable, "refuses the credential", `role "another"`)
}
