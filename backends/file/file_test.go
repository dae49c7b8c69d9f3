package file_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func payload(t *testing.T) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte("bundle")), capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func generate(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// generateE3 makes a key with public exponent 3, which the library does not.
func generateE3(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	e := big.NewInt(3)
	for {
		var primes []*big.Int
		phi := big.NewInt(1)
		n := big.NewInt(1)
		for len(primes) < 2 {
			p, err := rand.Prime(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			less := new(big.Int).Sub(p, big.NewInt(1))
			if new(big.Int).Mod(less, e).Sign() == 0 {
				continue
			}
			primes = append(primes, p)
			phi.Mul(phi, less)
			n.Mul(n, p)
		}
		if n.BitLen() != 2048 {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 3}, D: new(big.Int).ModInverse(e, phi), Primes: primes}
		key.Precompute()
		return key
	}
}

func pkcs1(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// use signs with the key in a file and returns its public half.
func use(t *testing.T, k *file.Key) (*capgo.PublicKey, error) {
	t.Helper()
	e, err := k.Inspect(t.Context())
	_, signErr := k.Sign(t.Context(), []capgo.Payload{payload(t)})
	if (err == nil) != (signErr == nil) {
		t.Errorf("Inspect says %v, Sign says %v", err, signErr)
	}
	if err != nil {
		return nil, err
	}
	return e.PublicKey, nil
}

func TestForms(t *testing.T) {
	key := generate(t, 2048)
	want, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"PKCS#1":              pkcs1(key),
		"PKCS#8":              pkcs8(t, key),
		"white space around":  append(append([]byte("\n\n  "), pkcs1(key)...), "\n\n"...),
		"Windows line ends":   []byte(strings.ReplaceAll(string(pkcs1(key)), "\n", "\r\n")),
		"no newline at end":   []byte(strings.TrimSpace(string(pkcs1(key)))),
		"as openssl comments": append([]byte("Bag Attributes\n    friendlyName: acme\n"), pkcs8(t, key)...),
	} {
		k := file.Open(write(t, data))
		if got, err := use(t, k); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	good := generate(t, 2048)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := string(pkcs1(good))
	damaged := body[:200] + "AAAA" + body[204:]
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"1024 bits", pkcs1(generate(t, 1024)), "1024 bits, want 2048"},
		{"3072 bits", pkcs1(generate(t, 3072)), "3072 bits, want 2048"},
		{"e = 3", pkcs1(generateE3(t)), "public exponent 3, want 65537"},
		{"EC", pkcs8(t, ec), "*ecdsa.PrivateKey, want RSA"},
		{"empty", nil, "found no PEM block"},
		{"text", []byte("hello"), "found no PEM block"},
		{"two keys", append(pkcs1(good), pkcs1(good)...), "something after the PEM block"},
		{"public key", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&good.PublicKey)}), "found a public key"},
		{"encrypted PKCS#8", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), "openssl rsa"},
		{"encrypted PKCS#1", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte{1}}), "found an encrypted private key"},
		{"OpenSSH", pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte{1}}), `type "OPENSSH PRIVATE KEY", want`},
		{"damaged", []byte(damaged), "damaged"},
		{"cut short", []byte(body[:800]), "found no PEM block"},
		{"not DER", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")}), "damaged or cut short"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.data)
			_, err := use(t, file.Open(path))
			if !errors.Is(err, signer.ErrKeyUnusable) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want ErrKeyUnusable with the path and %q", err, test.want)
			}
			for _, line := range strings.Split(string(test.data), "\n") {
				if len(line) == 64 && err != nil && strings.Contains(err.Error(), line) {
					t.Error("the error quotes the key")
				}
			}
		})
	}
}

func TestFileThatMustNotBeUsed(t *testing.T) {
	data := pkcs1(generate(t, 2048))
	path := write(t, data)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err := use(t, file.Open(link))
	if !errors.Is(err, signer.ErrKeyUnusable) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a symbolic link: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = use(t, file.Open(path))
	if !errors.Is(err, signer.ErrKeyUnusable) || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("a file that the group can read: %v", err)
	}
}

// TestFileChanges shows that each use takes the key that is in the file then.
func TestFileChanges(t *testing.T) {
	first, second := generate(t, 2048), generate(t, 2048)
	path := write(t, pkcs1(first))
	k := file.Open(path)
	signedBy := func(key *rsa.PrivateKey) error {
		t.Helper()
		got, err := k.Sign(t.Context(), []capgo.Payload{payload(t)})
		if err != nil {
			return err
		}
		public, err := capgo.NewPublicKey(&key.PublicKey)
		if err != nil {
			return err
		}
		return public.Verify(payload(t), got[0])
	}
	if err := signedBy(first); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(write(t, pkcs1(second)), path); err != nil {
		t.Fatal(err)
	}
	if err := signedBy(second); err != nil {
		t.Errorf("after the file was replaced: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := signedBy(second); !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("after everybody could read the file: %v, want ErrKeyUnusable", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := signedBy(second); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("after the file was removed: %v, want ErrUnavailable", err)
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".capgo_key_v2")
	public, err := file.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if got, err := use(t, file.Open(path)); err != nil || !got.Equal(public) {
		t.Errorf("the new key cannot be used: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(before), "-----BEGIN RSA PRIVATE KEY-----\n") {
		t.Errorf("not the form that the official CLI reads: %.40s", before)
	}

	if _, err := file.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v, want fs.ErrExist", err)
	}
	link := path + ".link"
	if err := os.Symlink(path+".elsewhere", link); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Create(link); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a dangling link: %v, want fs.ErrExist", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the existing key was touched (%v)", err)
	}
	if _, err := file.Create(filepath.Join(path, "x")); err == nil {
		t.Error("created a key below a file")
	}
}

func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		"file:/a/b.pem":              "/a/b.pem",
		"file:///a/b.pem":            "/a/b.pem",
		"file://localhost/a/b.pem":   "/a/b.pem",
		"file:/a/../b//c.pem":        "/b/c.pem",
		"file:/with%20space/%3F%23%": "",
		"file:/with%20space/%3F%23":  "/with space/?#",
		"file:a.pem":                 "",
		"file:./a.pem":               "",
		"file:":                      "",
		"file://other/a.pem":         "",
		"file://user@localhost/a":    "",
		"file:/a?b=c":                "",
		"file:/a?":                   "",
		"file:/a#b":                  "",
		"file:/a#":                   "",
		"file:/a%00b":                "",
		"/a/b.pem":                   "",
		"pkcs11:object=a":            "",
	} {
		got, err := file.ParseURI(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
		if want == "" {
			continue
		}
		if again, err := file.ParseURI(file.URI(got)); err != nil || again != got {
			t.Errorf("%s: its own form %s is read as %q, %v", in, file.URI(got), again, err)
		}
	}
}
