package kmstest

import (
	"bytes"
	"crypto/aes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"

	"cloud.google.com/go/kms/apiv1/kmspb"
)

// unwrap takes an RSA key out of its wrapping (RSA-OAEP with SHA-256 around an AES
// key, AES-KWP around the PKCS#8 form of the key), or says why it cannot.
func unwrap(job *rsa.PrivateKey, wrapped []byte, algorithm kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm) (*rsa.PrivateKey, string) {
	if len(wrapped) <= job.Size() {
		return nil, "the wrapped key is too short"
	}
	kek, err := rsa.DecryptOAEP(sha256.New(), nil, job, wrapped[:job.Size()], nil)
	if err != nil || len(kek) != 32 {
		return nil, "the AES key cannot be unwrapped"
	}
	der, ok := unwrapKWP(kek, wrapped[job.Size():])
	if !ok {
		return nil, "the key cannot be unwrapped"
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, "the key is not in PKCS#8 form"
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() != 2048 || algorithm != kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048 {
		return nil, "the key does not fit the algorithm"
	}
	return key, ""
}

// unwrapKWP undoes AES key wrap with padding (RFC 5649, section 4.2) of more than 8
// bytes.
func unwrapKWP(kek, wrapped []byte) ([]byte, bool) {
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, false
	}
	n := len(wrapped)/8 - 1
	r := bytes.Clone(wrapped)
	var b [16]byte
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(r[:8])^t)
			copy(b[8:], r[8*i:8*i+8])
			block.Decrypt(b[:], b[:])
			copy(r[:8], b[:8])
			copy(r[8*i:], b[8:])
		}
	}
	size := int(binary.BigEndian.Uint32(r[4:8]))
	if !bytes.Equal(r[:4], []byte{0xa6, 0x59, 0x59, 0xa6}) || size > 8*n || size <= 8*(n-1) {
		return nil, false
	}
	padding := r[8+size:]
	return r[8 : 8+size], bytes.Equal(padding, make([]byte, len(padding)))
}
