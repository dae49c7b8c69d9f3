package child

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// TestPad compares the block that is made here with the one that crypto/rsa signs.
func TestPad(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 16, 32, 48, 245} {
		material := make([]byte, n)
		rand.Read(material)
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), material)
		if err != nil {
			t.Fatal(err)
		}
		want := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, capgo.SignatureSize))
		got, err := pad(material)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, %v\nwant %x", n, got, err, want)
		}
	}
	for _, n := range []int{0, 246, 256, 300} {
		if block, err := pad(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were padded: %x", n, block)
		}
	}
}

// TestX509 makes signatures with padding of our own on a real token, and shows that
// they are the same.
func TestX509(t *testing.T) {
	tok, public := openReal(t)
	order := &proto.Sign{Key: acme(), Payloads: []capgo.Payload{checksum(t, "a")}}
	want, err := tok.sign(order)
	if err != nil {
		t.Fatal(err)
	}
	tok.mechanisms.lacksPKCS = true
	got, err := tok.sign(order)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("CKM_RSA_X_509 made %x, %v\nwant what CKM_RSA_PKCS makes, %x", got, err, want)
	}
	signsWell(t, tok, public)
	tok.mechanisms.lacksRaw = true
	order.Key.ID = order.Key.Label // found anew
	_, err = tok.sign(order)
	wantKind(t, err, proto.KindMechanism, "the token has neither")
}
