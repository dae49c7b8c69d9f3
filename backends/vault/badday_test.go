package vault_test

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// healed is how soon a key works after what was wrong with Vault was put right.
const healed = 2 * time.Second

func TestSealedWhileInUse(t *testing.T) {
	s, uri := withAppRole(t, nil)
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, public)
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := sign(t, k, public); err != nil {
					fails(t, err, signer.ErrUnavailable)
				}
			}
		})
	}
	for range 3 {
		s.Seal()
		refused(t, k, signer.ErrUnavailable, "sealed")
		s.Unseal()
		eventually(t, healed, func() error { return sign(t, k, public) })
	}
	close(stop)
	users.Wait()
	if n := k.Logins(); n != 1 {
		t.Errorf("logged in %d times, want once: a sealed Vault keeps its tokens", n)
	}
}

func TestRestartWhileInUse(t *testing.T) {
	s, uri := withToken(t)
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, public)
	s.Stop()
	refused(t, k, signer.ErrUnavailable, "cannot be reached")
	s.Start()
	eventually(t, healed, func() error { return sign(t, k, public) })
	// Connections that were kept open are dead, which costs nobody a request.
	s.Stop()
	s.Start()
	works(t, k, public)
}

func TestTokenRevoked(t *testing.T) {
	t.Run("approle logs in again", func(t *testing.T) {
		s, uri := withAppRole(t, nil)
		public := s.PublicKey(keyName, 1)
		k := open(t, uri)
		for want := 1; want <= 3; want++ {
			works(t, k, public)
			if n := k.Logins(); n != want {
				t.Fatalf("logged in %d times, want %d", n, want)
			}
			s.RevokeLogins("approle")
		}
	})
	t.Run("token in a file", func(t *testing.T) {
		s := vaulttest.New(t)
		public := s.CreateKey(keyName)
		s.Policy(keyName)
		file, token := s.Token(nil)
		k := open(t, keyURI(s, "token-file", file))
		works(t, k, public)
		s.Write("auth/token/revoke", map[string]any{"token": token})
		refused(t, k, signer.ErrKeyUnusable, "does not know the token", file)
		_, another := s.Token(nil)
		replace(t, file, another)
		works(t, k, public)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		refused(t, k, signer.ErrUnavailable, file)
	})
}

func TestPolicyRemoved(t *testing.T) {
	for _, test := range []struct {
		name, policy string
		says         string
	}{
		{"all but the token's own", `path "auth/token/lookup-self" { capabilities = ["read"] }`, "the token is good, but its policies do not allow it"},
		{"everything", `path "nothing" { capabilities = ["read"] }`, "may do nothing here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, uri := withAppRole(t, nil)
			public := s.PublicKey(keyName, 1)
			k := open(t, uri)
			works(t, k, public)
			s.WritePolicy(test.policy)
			for range 5 {
				refused(t, k, signer.ErrKeyUnusable, test.says)
			}
			if n := k.Logins(); n > 2 {
				t.Errorf("logged in %d times, want at most once more", n)
			}
			s.Policy(keyName)
			works(t, k, public)
		})
	}
}

func TestUnknownAuthority(t *testing.T) {
	s, uri := withToken(t)
	other := vaulttest.New(t)
	k := open(t, strings.Replace(uri, s.CAFile, other.CAFile, 1))
	refused(t, k, signer.ErrUnavailable, "not trusted", "ca-file=")

	// The file is put right, and read again.
	right, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, other.CAFile, string(right))
	works(t, k, s.PublicKey(keyName, 1))

	replace(t, other.CAFile, "nonsense")
	refused(t, k, signer.ErrKeyUnusable, "no certificate in PEM")
	if err := os.Remove(other.CAFile); err != nil {
		t.Fatal(err)
	}
	refused(t, k, signer.ErrUnavailable, other.CAFile)
}

// A black hole takes connections and never says anything.
func TestBlackHole(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	token := t.TempDir() + "/token"
	replace(t, token, "hvs.x")
	const limit = 300 * time.Millisecond
	k := openWith(t, "hashivault://transit/a?version=1&address=http://"+hole.Addr().String()+"&token-file="+token, vault.Config{Timeout: limit})
	began := time.Now()
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			fails(t, err, signer.ErrUnavailable, "did not answer within 300ms")
		})
	}
	callers.Wait()
	if took := time.Since(began); took > 10*limit {
		t.Errorf("ten callers took %s with a deadline of %s: each waited for those before it", took, limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit/10)
	defer cancel()
	_, err = k.Inspect(ctx)
	fails(t, err, context.DeadlineExceeded)
}

func TestNotConfigured(t *testing.T) {
	k := open(t, "hashivault://transit/a?version=1")
	refused(t, k, signer.ErrKeyUnusable, "CREDENTIALS_DIRECTORY is not set", "vault-token")
	dir := t.TempDir()
	replace(t, dir+"/vault-token", "hvs.x")
	k = openWith(t, "hashivault://transit/a?version=1", vault.Config{CredentialsDir: dir})
	refused(t, k, signer.ErrKeyUnusable, "address=https://", "VAULT_ADDR")
	k = openWith(t, "hashivault://transit/a?version=1", vault.Config{CredentialsDir: dir, DefaultAddress: "http://vault.example.com"})
	refused(t, k, signer.ErrKeyUnusable, "http to another machine")
	k = openWith(t, "hashivault://transit/a?version=1", vault.Config{CredentialsDir: dir, DefaultAddress: "https://127.0.0.1:1"})
	refused(t, k, signer.ErrUnavailable, "cannot be reached")
	if err := os.Chmod(dir+"/vault-token", 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, k, signer.ErrKeyUnusable, "permissions 0644")
}

// A systemd credential and $VAULT_ADDR make the shortest URI there is.
func TestShortestURI(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	_, token := s.Token(nil)
	dir := t.TempDir()
	replace(t, dir+"/"+vault.DefaultTokenCredential, token)
	// What Vault's own tools would take from the environment is not taken.
	t.Setenv("VAULT_TOKEN", "hvs.wrong")
	t.Setenv("VAULT_NAMESPACE", "wrong")
	k := openWith(t, "hashivault://transit/"+keyName+"?version=1&ca-file="+s.CAFile, vault.Config{CredentialsDir: dir, DefaultAddress: s.Address})
	works(t, k, public)
}
