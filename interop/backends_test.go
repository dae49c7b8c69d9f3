package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
)

// Whatever signs, the official CLI accepts it: of a zip that bundlesign packs from a
// folder, and of one that the CLI has packed. What keys in files and in SoftHSM sign
// is looked at more closely by [TestOfficialCLIAcceptsOurs].
func TestOfficialCLIAcceptsEveryBackend(t *testing.T) {
	for _, backend := range []struct {
		name string
		key  func(*testing.T) keySource
	}{
		{"vault", keyInVault},
		{"gcpkms", keyInFakeKMS},
	} {
		t.Run(backend.name, func(t *testing.T) {
			t.Parallel()
			d := startDaemon(t, backend.key(t))

			p := newProject(t, updaterOf[capgo.FormatHex], d.public)
			s := p.signFolder(t, d)
			if out, code := bundlesign(t, p.dir, "pack", "www", "--output", "again.zip"); code != 0 {
				t.Fatalf("bundlesign pack ended with code %d:\n%s", code, out)
			}
			p.accepts(t, s, p.read(t, "again.zip"))

			p = newProject(t, updaterOf[capgo.FormatLegacy], d.public)
			p.zip(t, "app.zip")
			p.accepts(t, d.sign(t, p, "app.zip", "1.0.0", capgo.FormatLegacy), p.read(t, "app.zip"))
		})
	}
}

// signFolder has the example app signed from its folder, as a release job does: with
// the key of capacitor.config.json, and the form that the updater takes.
func (p *project) signFolder(t *testing.T, d *daemon, more ...string) sealed {
	t.Helper()
	if err := os.CopyFS(p.path("www"), exampleApp(t)); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"sign", "www", "--app", appID, "--channel", "production", "--version", "1.0.0", "--json"}, more...)
	out, code := d.bundlesign(t, p.dir, args...)
	if code != 0 {
		t.Fatalf("bundlesign sign ended with code %d:\n%s", code, out)
	}
	p.write(t, "result.json", []byte(out))
	var s sealed
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("bundlesign sign printed %q: %v", out, err)
	}
	return s
}

// accepts fails the test unless the official CLI and bundlesign both accept a bundle,
// and the CLI makes the plain one of it.
func (p *project) accepts(t *testing.T, s sealed, plain []byte) {
	t.Helper()
	got, err := p.decrypt(t, s)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, plain) {
		t.Error("the official CLI decrypted it to something else")
	}
	out, code := bundlesign(t, p.dir, "verify", s.Filename, "--checksum", s.Checksum,
		"--session-key", s.IVSessionKey, "--capacitor-config", "capacitor.config.json")
	if code != 0 {
		t.Errorf("bundlesign verify ended with code %d:\n%s", code, out)
	}
}

// keyInVault is a key that a real Vault made and never gives out.
func keyInVault(t *testing.T) keySource {
	t.Helper()
	v := vaulttest.New(t)
	public := v.CreateKey("shop")
	v.Policy("shop")
	token, _ := v.Token(nil)
	return keySource{
		uri:    fmt.Sprintf("hashivault://transit/shop?version=1&address=%s&ca-file=%s&token-file=%s", v.Address, v.CAFile, token),
		public: public,
	}
}

// keyInFakeKMS is a key in a stand-in for Cloud KMS, which speaks its real protocol.
func keyInFakeKMS(t *testing.T) keySource {
	t.Helper()
	const version = "projects/acme-prod/locations/europe-west3/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/1"
	k := kmstest.NewTLS(t, func(token string) bool { return token != "" })
	public, err := capgo.NewPublicKey(&k.Generate(version).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return keySource{
		uri:    fmt.Sprintf("gcpkms://%s?endpoint=%s&credentials=%s", version, k.Addr(), serviceAccount(t)),
		public: public,
		env:    []string{"SSL_CERT_FILE=" + k.CAFile()},
	}
}

// serviceAccount writes the key file of a service account, which signs its own tokens.
func serviceAccount(t *testing.T) (name string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme-prod", "private_key_id": "1", "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "signer@acme-prod.iam.gserviceaccount.com", "token_uri": "https://127.0.0.1:1/not-to-be-asked",
	})
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
