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

// A token is prolonged when two thirds of its time are over, and replaced when Vault
// does not let it live much longer. The key's clock is set forward; Vault's is real.
func TestRenewedAndReplaced(t *testing.T) {
	s, uri := withAppRole(t, map[string]any{"token_ttl": "60m"})
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	advance := k.FakeClock()
	works(t, k, public)
	if s.Renewed(k.Token()) {
		t.Error("a new token was prolonged at once")
	}
	advance(39 * time.Minute)
	works(t, k, public)
	if s.Renewed(k.Token()) {
		t.Error("the token was prolonged before two thirds of its time were over")
	}
	advance(2 * time.Minute)
	works(t, k, public)
	if !s.Renewed(k.Token()) || k.Logins() != 1 {
		t.Errorf("prolonged %t, %d logins, want the first token prolonged", s.Renewed(k.Token()), k.Logins())
	}

	// From now on the role lets a token live for 20 minutes in all.
	s.Write("auth/approle/role/bundlesignd", map[string]any{"token_max_ttl": "20m", "token_ttl": "20m"})
	advance(41 * time.Minute)
	works(t, k, public) // prolonged, by little
	if k.Logins() != 1 {
		t.Errorf("logged in %d times, want once", k.Logins())
	}
	advance(14 * time.Minute)
	works(t, k, public)
	if k.Logins() != 2 {
		t.Errorf("logged in %d times, want twice: the first token's greatest age is near", k.Logins())
	}

	// Past its time without a use, there is no question of prolonging it.
	advance(time.Hour)
	works(t, k, public)
	if k.Logins() != 3 {
		t.Errorf("logged in %d times, want three times", k.Logins())
	}
}

func TestTokenInFileIsRenewed(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	file, token := s.Token(map[string]any{"period": "60m"})
	k := open(t, keyURI(s, "token-file", file))
	advance := k.FakeClock()
	for want := range 2 {
		works(t, k, public)
		if got := s.Renewed(token); got != (want == 1) {
			t.Errorf("after %d steps the token was prolonged: %t", want, got)
		}
		advance(41 * time.Minute)
	}
}

// A token ends for real here, because it is Vault that ends it.
func TestTokenInFileExpires(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(map[string]any{"ttl": "1s", "explicit_max_ttl": "1s"})
	k := open(t, keyURI(s, "token-file", file))
	eventually(t, func() error {
		if sign(t, k, public) == nil {
			return errors.New("the token is still good")
		}
		return nil
	})
	refused(t, k, signer.ErrKeyUnusable, "does not know the token", file)
}

// A secret id that has expired is refused as a wrong one is.
func TestSecretIDExpired(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	roleID := s.AppRole(map[string]any{"secret_id_num_uses": 1})
	file := s.File(s.SecretID())
	k := open(t, keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", file))
	works(t, k, public)
	s.RevokeLogins("approle")
	refused(t, k, signer.ErrKeyUnusable, "refuses the credential", "used up", file)
	replace(t, file, s.SecretID())
	works(t, k, public)
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
	expired := issue(-time.Hour, -10*time.Minute)
	file := s.File(expired)
	k := open(t, keyURI(s, "auth", "jwt", "role", "bundlesignd", "jwt-file", file))
	_, err := k.Inspect(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "refuses the credential", "has not expired", file)
	if err != nil && strings.Contains(err.Error(), expired) {
		t.Error("the error holds the JWT")
	}
	replace(t, file, issue(-time.Hour, time.Hour))
	works(t, k, public)
	s.RevokeLogins("jwt")
	works(t, k, public)
	replace(t, file, "not.a.jwt")
	works(t, k, public) // the token is good
	s.RevokeLogins("jwt")
	refused(t, k, signer.ErrKeyUnusable, "refuses the credential")
}

// A JWT that is too old or too new by Vault's clock: the message has its times and ours.
func TestJWTAndClocks(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	issue := s.JWT()
	file := s.File("none")
	k := open(t, keyURI(s, "auth", "jwt", "role", "bundlesignd", "jwt-file", file))
	for _, test := range []struct{ from, to time.Duration }{
		{-2 * time.Hour, -time.Hour},
		{time.Hour, 2 * time.Hour},
	} {
		replace(t, file, issue(test.from, test.to))
		_, err := k.Inspect(t.Context())
		fails(t, err, signer.ErrKeyUnusable, "refuses the credential", "it says that it is good from 2", " until 2", "on this machine it is 2", "clock")
	}
	replace(t, file, issue(-time.Hour, time.Hour))
	works(t, k, public)
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
