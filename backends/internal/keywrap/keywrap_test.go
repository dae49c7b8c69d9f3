package keywrap_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/internal/keywrap"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC5649 has the two examples of section 6.
func TestRFC5649(t *testing.T) {
	const kek = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"
	for _, test := range []struct{ key, want string }{
		{"c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		got, err := keywrap.WrapKWP(unhex(t, kek), unhex(t, test.key))
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != test.want {
			t.Errorf("wrapped %x, want %s", got, test.want)
		}
	}
}

// TestOpenSSLUnwraps has another implementation unwrap what is wrapped here, for
// lengths on both sides of each boundary.
func TestOpenSSLUnwraps(t *testing.T) {
	for _, test := range []struct {
		name   string
		cipher string
		wrap   func(kek, plaintext []byte) ([]byte, error)
		unpad  func([]byte) []byte
	}{
		{"RFC 5649", "id-aes256-wrap-pad", keywrap.WrapKWP, func(b []byte) []byte { return b }},
		{"RFC 3394 after PKCS7 padding", "id-aes256-wrap", keywrap.WrapPKCS7, func(b []byte) []byte {
			n := int(b[len(b)-1])
			if n < 1 || n > 8 || !bytes.Equal(b[len(b)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
				t.Errorf("padded with %x", b[len(b)-8:])
				return nil
			}
			return b[:len(b)-n]
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range []int{9, 15, 16, 17, 31, 32, 1217, 1218} {
				plaintext := make([]byte, n)
				rand.Read(plaintext)
				kek := keywrap.NewKEK()
				wrapped, err := test.wrap(kek, plaintext)
				if err != nil {
					t.Fatal(err)
				}
				if got := test.unpad(opensslUnwrap(t, test.cipher, kek, wrapped)); !bytes.Equal(got, plaintext) {
					t.Errorf("%d bytes: openssl unwrapped %x, want %x", n, got, plaintext)
				}
			}
		})
	}
}

func opensslUnwrap(t *testing.T, cipher string, kek, wrapped []byte) []byte {
	t.Helper()
	iv := map[string]string{"id-aes256-wrap-pad": "a65959a6", "id-aes256-wrap": "a6a6a6a6a6a6a6a6"}[cipher]
	cmd := exec.Command("openssl", "enc", "-d", "-"+cipher, "-K", hex.EncodeToString(kek), "-iv", iv)
	cmd.Stdin = bytes.NewReader(wrapped)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl (apt-get install openssl): %v: %s", err, stderr.String())
	}
	return out
}

func TestWrapRefuses(t *testing.T) {
	good, kek := []byte("0123456789abcdef"), keywrap.NewKEK()
	for _, wrap := range []func(kek, plaintext []byte) ([]byte, error){keywrap.WrapKWP, keywrap.WrapPKCS7} {
		for _, test := range []struct{ kek, plaintext []byte }{
			{kek, nil},
			{kek, make([]byte, 64<<10+1)},
			{kek[:31], good},
			{nil, good},
		} {
			if got, err := wrap(test.kek, test.plaintext); err == nil || got != nil {
				t.Errorf("%d bytes under a key of %d: wrapped %x, error %v", len(test.plaintext), len(test.kek), got, err)
			}
		}
	}
}

// TestRSAAESWrap takes apart what was wrapped, as a backend does.
func TestRSAAESWrap(t *testing.T) {
	backend, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, 1218)
	rand.Read(secret)
	seen := map[string]bool{}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA256} {
		wrapped, err := keywrap.RSAAESWrap(&backend.PublicKey, hash, secret)
		if err != nil {
			t.Fatal(err)
		}
		size := backend.Size()
		kek, err := rsa.DecryptOAEP(hash.New(), nil, backend, wrapped[:size], nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(kek) != 32 || seen[string(kek)] {
			t.Errorf("an AES key of %d bytes, used before: %t", len(kek), seen[string(kek)])
		}
		seen[string(kek)] = true
		if got := opensslUnwrap(t, "id-aes256-wrap-pad", kek, wrapped[size:]); !bytes.Equal(got, secret) {
			t.Error("something else came out")
		}
	}
	if _, err := keywrap.RSAAESWrap(&backend.PublicKey, crypto.BLAKE2b_256, secret); err == nil {
		t.Error("wrapped with a hash that is not there")
	}
}

func TestPKCS8(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := keywrap.PKCS8(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Equal(back) {
		t.Error("another key came out")
	}
}

func TestPKCS8Refuses(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*rsa.PrivateKey)) *rsa.PrivateKey {
		k := &rsa.PrivateKey{PublicKey: key.PublicKey, D: key.D, Primes: []*big.Int{key.Primes[0], key.Primes[1]}}
		change(k)
		return k
	}
	for name, k := range map[string]*rsa.PrivateKey{
		"nil":                nil,
		"zero":               {},
		"3072 bits":          openssl(t, "-pkeyopt", "rsa_keygen_bits:3072"),
		"1024 bits":          openssl(t, "-pkeyopt", "rsa_keygen_bits:1024"),
		"exponent 3":         openssl(t, "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"),
		"three primes":       openssl(t, "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_primes:3"),
		"another's exponent": changed(func(k *rsa.PrivateKey) { k.D = other.D }),
		"another's prime":    changed(func(k *rsa.PrivateKey) { k.Primes[0] = other.Primes[0] }),
		"another's modulus":  changed(func(k *rsa.PrivateKey) { k.N = other.N }),
		"no primes":          changed(func(k *rsa.PrivateKey) { k.Primes = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			der, err := keywrap.PKCS8(k)
			if err == nil || der != nil {
				t.Fatalf("accepted, error %v", err)
			}
			if k != nil && k.D != nil && bytes.Contains([]byte(err.Error()), []byte(k.D.String()[:20])) {
				t.Error("the error holds some of the key")
			}
		})
	}
}

// openssl makes a key that Go's own library would not make, or not so fast.
func openssl(t *testing.T, options ...string) *rsa.PrivateKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	args := append([]string{"genpkey", "-algorithm", "RSA", "-out", path}, options...)
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl (apt-get install openssl): %v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", options, err)
	}
	return key.(*rsa.PrivateKey)
}
