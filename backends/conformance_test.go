package backends_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func newSet(t *testing.T) *backends.Set {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	set := backends.NewSet(backends.Options{
		Logger:       zaptest.NewLogger(t),
		ChildCommand: []string{exe, childArg},
	})
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Errorf("closing the backends: %v", err)
		}
	})
	return set
}

// opener opens one key, in a Set that goes with the test that opens it.
func opener(uri string) func(*testing.T) signer.Key {
	return func(t *testing.T) signer.Key {
		t.Helper()
		k, err := newSet(t).Open(backends.Spec{Name: "acme", URI: uri})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".capgo_key_v2")
	public, err := file.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, backendtest.Harness{
		Open:       opener(file.URI(path)),
		PublicKey:  public,
		PrivateKey: readKey(t, path),
		Backend:    "file",
		Level:      signer.Software,
		Break: func(t *testing.T) func() {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(path+".away", path); err != nil {
					t.Error(err)
				}
			}
		},
		Secrets: fileSecrets(t, path),
	})
}

// readKey reads a key file in another way than the backend does.
func readKey(t *testing.T, path string) *rsa.PrivateKey {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fileSecrets returns the lines of a key file: none may be in an error.
func fileSecrets(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := data[len("-----BEGIN RSA PRIVATE KEY-----\n"):]
	return []string{string(body[:64]), string(body[65 : 65+64]), string(body[130 : 130+64])}
}

func TestPKCS11Generated(t *testing.T) {
	tk := softhsmtest.New(t)
	backendtest.Run(t, backendtest.Harness{
		PublicKey: tk.GenerateKey("acme"),
		Open:      opener(tk.URI("acme")),
		Backend:   "pkcs11",
		Level:     signer.NeverExtractable,
		Break:     func(*testing.T) func() { return tk.Hide() },
		Secrets:   pinSecrets(),
	})
}

func TestPKCS11Imported(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	tk := softhsmtest.New(t)
	tk.ImportKey("acme", key)
	backendtest.Run(t, backendtest.Harness{
		PublicKey:  public,
		PrivateKey: key,
		Open:       opener(tk.URI("acme")),
		Backend:    "pkcs11",
		Level:      signer.NonExtractable, // it was outside once
		Break:      func(*testing.T) func() { return tk.Hide() },
		Secrets:    pinSecrets(),
	})
}

// pinSecrets returns the PIN in the forms in which it could slip out.
func pinSecrets() []string {
	pin := []byte(softhsmtest.PIN)
	return []string{softhsmtest.PIN, softhsmtest.SOPIN, hex.EncodeToString(pin), base64.StdEncoding.EncodeToString(pin)}
}
