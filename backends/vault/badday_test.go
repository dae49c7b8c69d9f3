package vault_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

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
	var slowest time.Duration
	for range 50 {
		s.Seal()
		refused(t, k, signer.ErrUnavailable, "sealed")
		s.Unseal()
		slowest = max(slowest, eventually(t, func() error { return sign(t, k, public) }))
	}
	// 2 s are promised; how long it is on a loaded machine is logged, not judged.
	t.Logf("signs at most %s after Vault was unsealed", slowest)
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
	t.Logf("signs %s after Vault was started again", eventually(t, func() error { return sign(t, k, public) }))
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

// A black hole takes connections and never says anything. Callers who wait for a token
// all learn from the one who asks for it: none of them waits for those before it.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := t.TempDir() + "/token"
		replace(t, token, "hvs.x")
		const limit = 10 * time.Second
		k := openWith(t, "hashivault://transit/a?version=1&address=http://127.0.0.1:8200&token-file="+token, vault.Config{Timeout: limit})
		k.FakeDial(func(context.Context, string, string) (net.Conn, error) {
			ours, hole := net.Pipe()
			go io.Copy(io.Discard, hole)
			return ours, nil
		})
		began := time.Now() // of the bubble: nothing but waiting takes time
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
				fails(t, err, signer.ErrUnavailable, "did not answer within 10s")
			})
		}
		callers.Wait()
		if took := time.Since(began); took != limit {
			t.Errorf("ten callers took %s with a deadline of %s", took, limit)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err := k.Inspect(ctx)
		fails(t, err, context.DeadlineExceeded)
		if took := time.Since(began); took != time.Second {
			t.Errorf("a caller with a deadline of 1s waited %s", took)
		}
	})
}

// The same with a real network, which is why nothing is said about time.
func TestBlackHoleOverTCP(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	token := t.TempDir() + "/token"
	replace(t, token, "hvs.x")
	k := openWith(t, "hashivault://transit/a?version=1&address=http://"+hole.Addr().String()+"&token-file="+token, vault.Config{Timeout: 50 * time.Millisecond})
	refused(t, k, signer.ErrUnavailable, "did not answer within 50ms")
}

// A certificate that is too old, or too new, for this machine's clock.
func TestCertificateAndClocks(t *testing.T) {
	for name, notBefore := range map[string]time.Duration{"too old": -2 * time.Hour, "too new": time.Hour} {
		t.Run(name, func(t *testing.T) {
			address, caFile := vaulttest.FakeTLS(t, notBefore, notBefore+time.Hour)
			token := t.TempDir() + "/token"
			replace(t, token, "hvs.x")
			k := open(t, "hashivault://transit/a?version=1&address="+address+"&ca-file="+caFile+"&token-file="+token)
			refused(t, k, signer.ErrUnavailable, "not trusted", "compare the clocks")
		})
	}
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
