package vault_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/signer"
)

const logName = "bundlesign-log"

func openLog(t *testing.T, uri string) *vault.LogKey {
	t.Helper()
	u, err := vault.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return vault.OpenLogKey(vault.Config{URI: u, Logger: zaptest.NewLogger(t)})
}

// withLogKey starts a Vault with a log's key and returns the key's URI, with a token that
// has the documented policy.
func withLogKey(t *testing.T) (s *vaulttest.Server, uri, token string) {
	t.Helper()
	s = vaulttest.New(t)
	s.Write("transit/keys/"+logName, map[string]any{"type": "ed25519"})
	s.PolicyFile(vaulttest.PolicyName, "policy-log.hcl", logName)
	file, token := s.Token(nil)
	return s, strings.Replace(keyURI(s, "token-file", file), keyName, logName, 1), token
}

func TestLogKeyConformance(t *testing.T) {
	s, uri, token := withLogKey(t)
	s.CreateKey(keyName)
	s.PolicyFile("another", "policy-log.hcl", keyName)
	file, _ := s.Token(map[string]any{"policies": []string{"another"}})
	backendtest.RunLogKey(t, backendtest.LogHarness{
		Open:      func(t *testing.T) signer.LogKey { return openLog(t, uri) },
		PublicKey: s.LogPublicKey(logName, 1),
		OpenOther: func(t *testing.T) signer.LogKey { return openLog(t, keyURI(s, "token-file", file)) },
		Break:     func(*testing.T) func() { s.Seal(); return s.Unseal },
		Secrets:   []string{token},
	})
}

func checkpoint(t *testing.T) audit.CheckpointText {
	t.Helper()
	text, err := audit.NewCheckpointText("log.example/bundles", tlog.Tree{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A log's key goes on to sign with its version after it was rotated.
func TestLogKeyRotated(t *testing.T) {
	s, uri, _ := withLogKey(t)
	k := openLog(t, uri)
	defer k.Close()
	s.RotateKey(logName)
	for version, uri := range map[int]string{1: uri, 2: strings.Replace(uri, "version=1", "version=2", 1)} {
		k := openLog(t, uri)
		defer k.Close()
		public, err := k.PublicKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !public.Equal(s.LogPublicKey(logName, version)) {
			t.Errorf("version %d has another public key", version)
		}
		text := checkpoint(t)
		signature, err := k.SignCheckpoint(t.Context(), text)
		if err != nil || !ed25519.Verify(public, text.Bytes(), signature) {
			t.Errorf("version %d: signature %x, error %v", version, signature, err)
		}
	}
}

func TestLogKeysThatMustNotBeUsed(t *testing.T) {
	s, uri, _ := withLogKey(t)
	for _, test := range []struct {
		name string
		key  map[string]any
		says string
	}{
		{"deleted", nil, "found no such key"},
		{"exportable", map[string]any{"type": "ed25519", "exportable": true}, "may leave Vault"},
		{"plaintext backup", map[string]any{"type": "ed25519", "allow_plaintext_backup": true}, "may leave Vault"},
		{"derived", map[string]any{"type": "ed25519", "derived": true}, "derived"},
		{"another curve", map[string]any{"type": "ecdsa-p256"}, `type "ecdsa-p256", want ed25519`},
		{"symmetric", map[string]any{"type": "aes256-gcm96"}, `type "aes256-gcm96", want ed25519`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.DeleteKey(logName)
			if test.key != nil {
				s.Write("transit/keys/"+logName, test.key)
			} else {
				defer s.Write("transit/keys/"+logName, map[string]any{"type": "ed25519"})
			}
			k := openLog(t, uri)
			defer k.Close()
			_, err := k.PublicKey(t.Context())
			fails(t, err, signer.ErrKeyUnusable, test.says)
			_, err = k.SignCheckpoint(t.Context(), checkpoint(t))
			fails(t, err, signer.ErrKeyUnusable, test.says)
		})
	}
}

// A log's key that becomes one of another type while it is in use.
func TestLogKeyReplaced(t *testing.T) {
	s, uri, _ := withLogKey(t)
	k := openLog(t, uri)
	defer k.Close()
	if _, err := k.SignCheckpoint(t.Context(), checkpoint(t)); err != nil {
		t.Fatal(err)
	}
	s.DeleteKey(logName)
	s.CreateKey(logName)
	for range 2 {
		_, err := k.SignCheckpoint(t.Context(), checkpoint(t))
		fails(t, err, signer.ErrKeyUnusable, `type "rsa-2048", want ed25519`)
	}
}
