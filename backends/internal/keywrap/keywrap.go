// Package keywrap encrypts a private key for its way into a backend, so that only
// the backend can read it: under an AES key drawn for this one way, which itself
// is encrypted with an RSA key of the backend's.
//
// Its invariant is that a private key leaves it encrypted with a fresh key or, from
// [PKCS8], for the caller alone to wrap and to clear. No error holds any of it.
package keywrap

import (
	"crypto"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
)

// KEKSize is the size in bytes of the AES keys that are drawn here.
const KEKSize = 32

// maxPlaintext bounds what is wrapped, in bytes: far more than any private key, and
// far less than the 2³²-1 of the standard.
const maxPlaintext = 64 << 10

// NewKEK draws an AES-256 key to encrypt a key with. The caller clears it after use.
func NewKEK() []byte {
	kek := make([]byte, KEKSize)
	rand.Read(kek) // never fails
	return kek
}

// WrapKWP encrypts with AES key wrap with padding (RFC 5649, section 4.1; KWP in NIST
// SP 800-38F): 1 to 65536 bytes under a key of 16, 24 or 32. What comes out is the
// next multiple of 8 bytes, and 8 more.
func WrapKWP(kek, plaintext []byte) ([]byte, error) {
	// The alternative initial value (section 3) holds the length of the key.
	iv := binary.BigEndian.AppendUint32([]byte{0xa6, 0x59, 0x59, 0xa6}, uint32(len(plaintext)))
	padding := make([]byte, -len(plaintext)&7)
	return wrap(kek, iv, plaintext, padding)
}

// WrapPKCS7 pads with 1 to 8 bytes that hold their number (RFC 5652, section 6.3), and
// then encrypts with AES key wrap (RFC 3394, section 2.2.1). It is what PKCS#11 v3.0,
// section 6.13.3, means by CKM_AES_KEY_WRAP_PAD. Sizes are as in [WrapKWP].
func WrapPKCS7(kek, plaintext []byte) ([]byte, error) {
	iv := []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}
	n := 8 - len(plaintext)%8
	padding := make([]byte, n)
	for i := range padding {
		padding[i] = byte(n)
	}
	return wrap(kek, iv, plaintext, padding)
}

// wrap is the wrapping process of RFC 3394, section 2.2.1, in its form with one
// array: A in the first 8 bytes, R[1] to R[n] behind it.
func wrap(kek, iv, plaintext, padding []byte) ([]byte, error) {
	if n := len(plaintext); n < 1 || n > maxPlaintext {
		return nil, fmt.Errorf("wrapping a key: found %d bytes, want 1 to %d", n, maxPlaintext)
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("wrapping a key: found an AES key of %d bytes, want 16, 24 or 32", len(kek))
	}
	out := make([]byte, 0, len(iv)+len(plaintext)+len(padding))
	out = append(out, iv...)
	out = append(out, plaintext...)
	out = append(out, padding...)
	n := uint64(len(out)/8 - 1)
	if n == 1 {
		// Too short for rounds: one block is enough (RFC 5649, section 4.1).
		block.Encrypt(out, out)
		return out, nil
	}
	var ab [aes.BlockSize]byte // A | R[i]
	defer clear(ab[:])
	copy(ab[:8], out)
	for j := range uint64(6) {
		for i := uint64(1); i <= n; i++ {
			r := out[8*i : 8*i+8]
			copy(ab[8:], r)
			block.Encrypt(ab[:], ab[:])
			copy(r, ab[8:])
			a := binary.BigEndian.Uint64(ab[:8]) ^ (n*j + i)
			binary.BigEndian.PutUint64(ab[:8], a)
		}
	}
	copy(out, ab[:8])
	return out, nil
}

// EncryptKEK encrypts an AES key with RSA-OAEP (RFC 8017, section 7.1.1), with the
// hash in both of its places and no label.
func EncryptKEK(public *rsa.PublicKey, hash crypto.Hash, kek []byte) ([]byte, error) {
	if !hash.Available() {
		return nil, errors.New("wrapping a key: the hash for RSA-OAEP is not in this program")
	}
	out, err := rsa.EncryptOAEP(hash.New(), rand.Reader, public, kek, nil)
	if err != nil {
		return nil, fmt.Errorf("wrapping a key for a %d-bit RSA key with OAEP and %s: %w", public.Size()*8, hash, err)
	}
	return out, nil
}

// RSAAESWrap encrypts a key of any length for the owner of an RSA key: an AES-256 key
// drawn for it, under RSA-OAEP, and behind that the key under [WrapKWP] with the AES
// key. It is CKM_RSA_AES_KEY_WRAP (PKCS#11 v3.0, section 6.1.25), which the import jobs of
// Cloud KMS and the import of Vault's transit engine take too.
func RSAAESWrap(public *rsa.PublicKey, hash crypto.Hash, plaintext []byte) ([]byte, error) {
	kek := NewKEK()
	defer clear(kek)
	encrypted, err := EncryptKEK(public, hash, kek)
	if err != nil {
		return nil, err
	}
	wrapped, err := WrapKWP(kek, plaintext)
	if err != nil {
		return nil, err
	}
	return append(encrypted, wrapped...), nil
}
