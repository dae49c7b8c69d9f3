package interop

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// parsePrivate reads the key file of the official CLI.
func parsePrivate(t testing.TB, data []byte) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "RSA PRIVATE KEY" {
		t.Fatal("the official CLI's key file is not a PKCS#1 private key")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// parsePublic reads the public key file of the official CLI, which must be in the
// form that we write, to the byte.
func parsePublic(t testing.TB, data []byte) *capgo.PublicKey {
	t.Helper()
	key, err := capgo.ParsePublicKeyPEM(data)
	if err != nil {
		t.Fatal(err)
	}
	if key.PEM() != string(data) {
		t.Errorf("the official CLI writes a public key as\n%s\nand we as\n%s", data, key.PEM())
	}
	return key
}

// keyInFile is a key of the official CLI's, used from its file.
func keyInFile(t *testing.T) keySource {
	t.Helper()
	p := newProject(t, updaterOf[capgo.FormatHex], nil)
	private, public := p.createKey(t)
	return keySource{uri: "file:" + p.path(private), public: parsePublic(t, p.read(t, public))}
}

// keyInToken is a key that a SoftHSM token made and never gives out.
func keyInToken(t *testing.T) keySource {
	t.Helper()
	token := softhsmtest.New(t)
	public := token.GenerateKey("interop")
	return keySource{uri: token.URI("interop"), public: public}
}
