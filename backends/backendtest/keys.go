package backendtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// goKey draws a key that can be imported.
func goKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// opensslKey draws an RSA key that Go's library might not make.
func opensslKey(t *testing.T, bits int, exponent string) *rsa.PrivateKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	cmd := exec.Command("openssl", "genpkey", "-algorithm", "RSA", "-out", path,
		"-pkeyopt", "rsa_keygen_bits:"+strconv.Itoa(bits), "-pkeyopt", "rsa_keygen_pubexp:"+exponent)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl is needed for this test: %v; install it with: apt-get install openssl\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// copyOf copies every number of a key, to compare it with later.
func copyOf(k *rsa.PrivateKey) *rsa.PrivateKey {
	c := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E},
		D:         new(big.Int).Set(k.D),
	}
	for _, prime := range k.Primes {
		c.Primes = append(c.Primes, new(big.Int).Set(prime))
	}
	return c
}
