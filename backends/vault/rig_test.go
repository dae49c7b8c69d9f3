package vault_test

import (
	"crypto/sha256"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const keyName = "acme-shop"

// keyURI returns the URI of version 1 of a key in a Vault. The attributes are
// name, value, name, value.
func keyURI(s *vaulttest.Server, attributes ...string) string {
	uri := "hashivault://transit/" + keyName + "?version=1&address=" + s.Address + "&ca-file=" + s.CAFile
	for i := 0; i < len(attributes); i += 2 {
		uri += "&" + attributes[i] + "=" + url.PathEscape(attributes[i+1])
	}
	return uri
}

func open(t *testing.T, uri string) *vault.Key { return openWith(t, uri, vault.Config{}) }

func openWith(t *testing.T, uri string, cfg vault.Config) *vault.Key {
	t.Helper()
	u, err := vault.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	cfg.URI, cfg.Logger = u, zaptest.NewLogger(t)
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	k := vault.Open(cfg)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the key: %v", err)
		}
	})
	return k
}

// withToken starts a Vault with a key, and returns the key's URI with a token in a file.
func withToken(t *testing.T) (*vaulttest.Server, string) {
	t.Helper()
	s := vaulttest.New(t)
	s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(nil)
	return s, keyURI(s, "token-file", file)
}

// withAppRole does so with an AppRole.
func withAppRole(t *testing.T, options map[string]any) (*vaulttest.Server, string) {
	t.Helper()
	s := vaulttest.New(t)
	s.CreateKey(keyName)
	s.Policy(keyName)
	roleID := s.AppRole(options)
	return s, keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", s.File(s.SecretID()))
}

func payload(t testing.TB, text string) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sign signs one payload of each kind and checks them with the first version's key.
func sign(t *testing.T, k signer.Key, public *capgo.PublicKey) error {
	t.Helper()
	for _, payloads := range [][]capgo.Payload{{payload(t, "a")}, {payload(t, "b"), capgo.SessionKeyPayload()}} {
		got, err := k.Sign(t.Context(), payloads)
		if err != nil {
			return err
		}
		for i := range payloads {
			if err := public.Verify(payloads[i], got[i]); err != nil {
				t.Errorf("a signature that does not verify: %v", err)
			}
		}
	}
	return nil
}

// works fails the test unless the key signs.
func works(t *testing.T, k signer.Key, public *capgo.PublicKey) {
	t.Helper()
	if err := sign(t, k, public); err != nil {
		t.Fatalf("signing: %v", err)
	}
}

// fails fails the test unless err is of this kind, says all of these, and is one line.
func fails(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want one that wraps %q", err, kind)
		return
	}
	if errors.Is(err, signer.ErrUnavailable) && errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("error %v is of two kinds", err)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

// refused uses the key in both ways and expects both to fail so.
func refused(t *testing.T, k signer.Key, kind error, says ...string) {
	t.Helper()
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	fails(t, err, kind, says...)
	_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a"), payload(t, "b")})
	fails(t, err, kind, says...)
	_, err = k.Inspect(t.Context())
	fails(t, err, kind, says...)
}

// patience bounds what has to happen at some time; nothing takes as long on a machine
// that works.
const patience = time.Minute

// eventually repeats f until it returns nil, and says how long that took.
func eventually(t *testing.T, f func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := f()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > patience {
			t.Fatalf("still after %s: %v", patience, err)
		}
	}
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
