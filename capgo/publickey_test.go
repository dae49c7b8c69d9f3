package capgo_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// modulus is an odd number of exactly so many bits: to judge a key's form, its
// factors do not matter.
func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(12345))
}

func TestNewPublicKeyRefuses(t *testing.T) {
	even := modulus(2048)
	even.SetBit(even, 0, 0)
	for _, test := range []struct {
		name string
		key  *rsa.PublicKey
		want string
	}{
		{"nil", nil, "found no RSA public key"},
		{"no modulus", &rsa.PublicKey{E: 65537}, "found no RSA public key"},
		{"1024 bits", &rsa.PublicKey{N: modulus(1024), E: 65537}, "found an RSA key of 1024 bits, want 2048"},
		{"2047 bits", &rsa.PublicKey{N: modulus(2047), E: 65537}, "found an RSA key of 2047 bits, want 2048"},
		{"2049 bits", &rsa.PublicKey{N: modulus(2049), E: 65537}, "found an RSA key of 2049 bits, want 2048"},
		{"3072 bits", &rsa.PublicKey{N: modulus(3072), E: 65537}, "found an RSA key of 3072 bits, want 2048"},
		{"4096 bits", &rsa.PublicKey{N: modulus(4096), E: 65537}, "found an RSA key of 4096 bits, want 2048"},
		{"e = 3", &rsa.PublicKey{N: modulus(2048), E: 3}, "public exponent 3, want 65537"},
		{"e = 1", &rsa.PublicKey{N: modulus(2048), E: 1}, "public exponent 1, want 65537"},
		{"e = 65539", &rsa.PublicKey{N: modulus(2048), E: 65539}, "public exponent 65539, want 65537"},
		{"even modulus", &rsa.PublicKey{N: even, E: 65537}, "negative or even RSA modulus"},
		{"negative modulus", &rsa.PublicKey{N: new(big.Int).Neg(modulus(2048)), E: 65537}, "negative or even RSA modulus"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := capgo.NewPublicKey(test.key)
			wantError(t, err, test.want)
			if test.key == nil || test.key.N == nil || test.key.N.Sign() < 0 {
				return
			}
			_, err = capgo.ParsePublicKeyPEM(pem.EncodeToMemory(&pem.Block{
				Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(test.key),
			}))
			if err == nil {
				t.Error("the same key was accepted as PEM")
			}
		})
	}
}

func TestParsePublicKeyPEMAccepts(t *testing.T) {
	body := strings.TrimSuffix(strings.TrimPrefix(vectorPEM, "-----BEGIN RSA PUBLIC KEY-----\n"), "-----END RSA PUBLIC KEY-----\n")
	for _, test := range []struct{ name, in string }{
		{"as it is", vectorPEM},
		{"no newline at the end", strings.TrimSpace(vectorPEM)},
		{"white space at the end", vectorPEM + " \n\t\r\n"},
		{"lines of another system", strings.ReplaceAll(vectorPEM, "\n", "\r\n")},
		{"one long line", "-----BEGIN RSA PUBLIC KEY-----\n" + strings.ReplaceAll(body, "\n", "") + "\n-----END RSA PUBLIC KEY-----\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parsePublicKey(t, test.in).PEM(); got != vectorPEM {
				t.Errorf("written as\n%s\nwant\n%s", got, vectorPEM)
			}
		})
	}
}

func TestParsePublicKeyPEMRefuses(t *testing.T) {
	own := ownKey()
	pkix, err := x509.MarshalPKIXPublicKey(own.public.RSA())
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own.private)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	good := own.public.PEM()
	der := own.public.DER()
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", "found no PEM block"},
		{"no PEM", "ssh-rsa AAAA", "found no PEM block"},
		{"bare base64", base64.StdEncoding.EncodeToString(der), "found no PEM block"},
		{"cut short", good[:len(good)-30], "found no PEM block"},
		{"newlines written as \\n", strings.ReplaceAll(good, "\n", `\n`), "found no PEM block"},
		{"PKIX", encode("PUBLIC KEY", pkix), "convert it with: openssl rsa -pubin -in FILE -RSAPublicKey_out"},
		{"an EC key", encode("PUBLIC KEY", ecDER), `want "RSA PUBLIC KEY"`},
		{"a PKCS#1 private key", encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own.private)), "found a private key"},
		{"a PKCS#8 private key", encode("PRIVATE KEY", pkcs8), "found a private key"},
		{"a private key with white space before", "\n" + encode("PRIVATE KEY", pkcs8), "found a private key"},
		{"an encrypted private key", encode("ENCRYPTED PRIVATE KEY", []byte{1}), "found a private key"},
		{"an EC private key", encode("EC PRIVATE KEY", []byte{1}), "found a private key"},
		{"a certificate", encode("CERTIFICATE", []byte{1}), `of type "CERTIFICATE"`},
		{"PKIX labelled PKCS#1", encode("RSA PUBLIC KEY", pkix), "does not hold a PKCS#1 public key"},
		{"a private key labelled public", encode("RSA PUBLIC KEY", x509.MarshalPKCS1PrivateKey(own.private)), "does not hold a PKCS#1 public key"},
		{"DER with a byte after it", encode("RSA PUBLIC KEY", append(bytes.Clone(der), 0)), "does not hold a PKCS#1 public key"},
		{"cut DER", encode("RSA PUBLIC KEY", der[:100]), "does not hold a PKCS#1 public key"},
		{"headers", strings.Replace(good, "KEY-----\n", "KEY-----\nProc-Type: 4\n\n", 1), "found PEM headers"},
		{"two keys", good + otherKey().public.PEM(), "after the PEM block"},
		{"text after", good + "x", "after the PEM block"},
		{"text before", "# our key\n" + good, "before the PEM block"},
		{"white space before", "\n" + good, "before the PEM block"},
		{"a byte order mark before", "\ufeff" + good, "PEM block"},
		{"a broken block before", "-----BEGIN RSA PUBLIC KEY-----\n***\n" + good, "found more than the key"},
		{"another block before", "-----BEGIN X-----\n%\n-----END X-----\n" + good, "found more than the key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := capgo.ParsePublicKeyPEM([]byte(test.in))
			wantError(t, err, test.want)
			if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(pkcs8)[:64]) {
				t.Error("the error shows key material")
			}
		})
	}
}

func TestPublicKeyForms(t *testing.T) {
	key := ownKey().public
	if back := parsePublicKey(t, key.PEM()); !back.Equal(key) {
		t.Error("the PEM form comes back as another key")
	}
	lines := strings.Split(strings.TrimSuffix(key.PEM(), "\n"), "\n")
	for _, line := range lines[1 : len(lines)-2] {
		if len(line) != 64 {
			t.Errorf("a PEM line of %d characters, want 64", len(line))
		}
	}
	body := strings.Join(lines[1:len(lines)-1], "")
	if key.KeyID() != body[:20] {
		t.Errorf("key id %q, want %q", key.KeyID(), body[:20])
	}
	sum := sha256.Sum256(key.DER())
	if want := "SHA256:" + hex.EncodeToString(sum[:]); key.Fingerprint() != want {
		t.Errorf("fingerprint %q, want %q", key.Fingerprint(), want)
	}
}

func TestPublicKeyEqual(t *testing.T) {
	a, b := ownKey().public, otherKey().public
	var none *capgo.PublicKey
	if !a.Equal(a) || a.Equal(b) || a.Equal(none) || none.Equal(a) || none.Equal(none) {
		t.Error("Equal holds for one key and for nothing else")
	}
}

// The key must not change under whoever checks with it.
func TestPublicKeyIsImmutable(t *testing.T) {
	in := rsa.PublicKey{N: modulus(2048), E: 65537}
	key, err := capgo.NewPublicKey(&in)
	if err != nil {
		t.Fatal(err)
	}
	before := key.Fingerprint()
	in.N.SetInt64(15)
	out := key.RSA()
	out.N.SetInt64(15)
	out.E = 3
	if key.Fingerprint() != before {
		t.Error("the key shares memory with its callers")
	}
}
