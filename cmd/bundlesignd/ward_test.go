package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/p11kittest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
)

// ward is a configuration with a key in each backend, and the backends themselves,
// which can be made to fail.
type ward struct {
	t        testing.TB
	dir      string
	seed     uint64
	config   strings.Builder
	patients []*patient
}

func newWard(t testing.TB) *ward {
	t.Helper()
	w := &ward{t: t, dir: t.TempDir(), seed: mathrand.Uint64()}
	t.Logf("seed %d", w.seed)
	w.config.WriteString("state_dir: state\nsocket: {path: bundlesignd.sock}\nallow_software_keys: true\n")
	w.config.WriteString("limits: {requests_per_second: 100000, burst: 100000, connections: 1000}\nkeys:\n")
	w.file()
	w.token()
	w.vault()
	w.kms()

	w.must(os.Mkdir(filepath.Join(w.dir, "state"), 0o700))
	// The log's key is as init makes it.
	logKey, err := os.ReadFile(filepath.Join(initialized(t), "log.key"))
	w.must(err)
	w.write("log.key", logKey)
	w.config.WriteString("log: {origin: example.com/test}\n")
	w.write("config.yaml", []byte(w.config.String()))
	w.write("policy.yaml", []byte("rules:\n  - {name: all, apps: [com.acme.*], channels: [production], users: ['*'], effect: allow}\n"))
	return w
}

func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) write(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	w.must(os.WriteFile(path, data, 0o600))
	return path
}

// admit adds a key to the configuration.
func (w *ward) admit(name, uri string, public *capgo.PublicKey, custody string, faults ...fault) {
	w.t.Helper()
	w.write(name+".pub.pem", []byte(public.PEM()))
	fmt.Fprintf(&w.config, "  - {name: %s, uri: %q, public_key: %s.pub.pem, apps: [com.acme.%s], custody: %s, timeout: 2s}\n", name, uri, name, name, custody)
	w.patients = append(w.patients, &patient{name: name, public: public, faults: faults})
}

// file is a key whose file goes away.
func (w *ward) file() {
	path := filepath.Join(w.dir, "file.pem")
	public, err := file.Create(path)
	w.must(err)
	w.admit("file", "file:"+path, public, "software", func() func() {
		w.must(os.Rename(path, path+".away"))
		return func() { w.must(os.Rename(path+".away", path)) }
	})
}

// token is a key in SoftHSM behind a p11-kit server, which stands for a network HSM.
func (w *ward) token() {
	tk := softhsmtest.New(w.t)
	public := tk.GenerateKey("shop")
	server := p11kittest.New(w.t, tk.ModulePath, tk.Label)
	uri := fmt.Sprintf("pkcs11:token=%s;object=shop?module-path=%s&pin-source=%s", tk.Label, server.ModulePath, tk.PINFile)
	w.admit("token", uri, public, "never-extractable",
		func() func() { server.Kill(); return server.Start },
		func() func() { server.Freeze(); return server.Thaw },
		func() func() { w.killModules(); return func() {} },
	)
}

// killModules kills the daemon's child processes.
func (w *ward) killModules() {
	for _, daemon := range childrenOf(os.Getpid()) {
		for _, module := range childrenOf(daemon) {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", module))
			if err == nil && strings.Contains(string(line), childCommand) {
				_ = unix.Kill(module, unix.SIGKILL)
			}
		}
	}
}

// vault is a key in a Vault that is sealed, ends, and forgets its logins.
func (w *ward) vault() {
	s := vaulttest.New(w.t)
	public := s.CreateKey("shop")
	s.Policy("shop")
	role := s.AppRole(nil)
	uri := fmt.Sprintf("hashivault://transit/shop?version=1&address=%s&ca-file=%s&auth=approle&role-id=%s&secret-id-file=%s", s.Address, s.CAFile, role, s.File(s.SecretID()))
	w.admit("vault", uri, public, "non-extractable",
		func() func() { s.Seal(); return s.Unseal },
		func() func() { s.Stop(); return s.Start },
		func() func() { s.RevokeLogins("approle"); return func() {} },
	)
}

// kms is a key in a Cloud KMS that stops, and whose network is a black hole.
func (w *ward) kms() {
	s := kmstest.NewTLS(w.t, func(token string) bool { return token != "" })
	w.t.Setenv("SSL_CERT_FILE", s.CAFile())
	const version = "projects/acme-prod/locations/europe-west3/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/1"
	private := s.Generate(version)
	public, err := capgo.NewPublicKey(&private.PublicKey)
	w.must(err)
	uri := fmt.Sprintf("gcpkms://%s?endpoint=%s&credentials=%s", version, s.Addr(), w.write("account.json", w.account()))
	w.admit("kms", uri, public, "non-extractable",
		func() func() { s.Stop(); return s.Start },
		func() func() { return s.Freeze() },
	)
}

// account is the key file of a service account, which signs its own tokens.
func (w *ward) account() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	w.must(err)
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme-prod", "private_key_id": "1", "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "signer@acme-prod.iam.gserviceaccount.com", "token_uri": "https://127.0.0.1:1/not-to-be-asked",
	})
	w.must(err)
	return data
}
