package capgo

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"filippo.io/bigmod"
)

const (
	// KeyBits is the only RSA modulus length that devices accept.
	KeyBits = 2048
	// KeyExponent is the only public exponent that is safe: with a small one,
	// a parser that skips the padding bytes accepts forgeries.
	KeyExponent = 65537
	// SignatureSize is the length in bytes of everything the key makes.
	SignatureSize = KeyBits / 8

	publicKeyPEMType = "RSA PUBLIC KEY"
	keyIDLength      = 20
)

// PublicKey is an RSA-2048 public key with exponent 65537: the key that an app
// carries and that every signature is checked against. The zero value is not
// usable; make one with [NewPublicKey] or [ParsePublicKeyPEM].
type PublicKey struct {
	rsa *rsa.PublicKey
	// modulus is that of rsa, prepared for arithmetic once: half of the time of
	// one verification otherwise. It is not changed by being used.
	modulus *bigmod.Modulus
}

// NewPublicKey accepts key if devices accept it: 2048 bits, exponent 65537.
func NewPublicKey(key *rsa.PublicKey) (*PublicKey, error) {
	if key == nil || key.N == nil {
		return nil, errors.New("found no RSA public key")
	}
	if n := key.N.BitLen(); n != KeyBits {
		return nil, fmt.Errorf("found an RSA key of %d bits, want %d: devices accept no other size", n, KeyBits)
	}
	if key.E != KeyExponent {
		return nil, fmt.Errorf("found an RSA key with public exponent %d, want %d: others can be forged against", key.E, KeyExponent)
	}
	if key.N.Sign() < 0 || key.N.Bit(0) == 0 {
		return nil, errors.New("found a negative or even RSA modulus, want the product of two odd primes")
	}
	modulus, err := bigmod.NewModulus(key.N.Bytes())
	if err != nil {
		return nil, fmt.Errorf("found an RSA modulus that cannot be computed with: %w", err)
	}
	return &PublicKey{&rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}, modulus}, nil
}

// ParsePublicKeyPEM reads exactly one PKCS#1 "RSA PUBLIC KEY" block (RFC 8017,
// appendix A.1.1), the only form that devices accept. White space after the block
// is allowed; before it devices do not accept it, and so it is refused.
func ParsePublicKeyPEM(data []byte) (*PublicKey, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("found no PEM block, want -----BEGIN %s-----", publicKeyPEMType)
	}
	switch block.Type {
	case publicKeyPEMType:
	case "PUBLIC KEY":
		return nil, fmt.Errorf("found a PEM block of type %q (PKIX), want %q (PKCS#1): convert it with: openssl rsa -pubin -in FILE -RSAPublicKey_out", block.Type, publicKeyPEMType)
	case "RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY":
		return nil, fmt.Errorf("found a private key (PEM type %q), want the public key (%q): keep the private key away from here", block.Type, publicKeyPEMType)
	default:
		return nil, fmt.Errorf("found a PEM block of type %q, want %q", block.Type, publicKeyPEMType)
	}
	// pem.Decode skips whatever stands before a block; phones do not.
	if !bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("found text or white space before the PEM block, want one %q block and nothing else", publicKeyPEMType)
	}
	if len(block.Headers) != 0 {
		return nil, fmt.Errorf("found PEM headers, want a plain %q block", publicKeyPEMType)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("found %d bytes after the PEM block, want one %q block and nothing else", len(rest), publicKeyPEMType)
	}
	key, err := x509.ParsePKCS1PublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PEM block of type %q does not hold a PKCS#1 public key: %w", publicKeyPEMType, err)
	}
	k, err := NewPublicKey(key)
	if err != nil {
		return nil, err
	}
	// What encoding/pem forgives, such as a broken block before a good one, ends here.
	if !bytes.Equal(withoutSpace(data), withoutSpace([]byte(k.PEM()))) {
		return nil, fmt.Errorf("found more than the key in the PEM text, want one %q block and nothing else", publicKeyPEMType)
	}
	return k, nil
}

func withoutSpace(b []byte) []byte { return bytes.Join(bytes.Fields(b), nil) }

// RSA returns a copy of the key for the standard library.
func (k *PublicKey) RSA() *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Set(k.rsa.N), E: k.rsa.E}
}

// Equal reports whether both are the same key.
func (k *PublicKey) Equal(other *PublicKey) bool {
	return k != nil && other != nil && k.rsa.Equal(other.rsa)
}

// DER returns the PKCS#1 encoding (RFC 8017, appendix A.1.1).
func (k *PublicKey) DER() []byte { return x509.MarshalPKCS1PublicKey(k.rsa) }

// PEM returns the key exactly as devices and the official CLI write it: a
// PKCS#1 block in lines of 64 characters, with a newline at the end.
func (k *PublicKey) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: publicKeyPEMType, Bytes: k.DER()}))
}

// KeyID returns the first 20 characters of the base64 of the PEM body, which
// is how Capgo names a key. It is a label, not a fingerprint: most of it is the
// DER header, common to all keys of this size.
func (k *PublicKey) KeyID() string {
	return base64.StdEncoding.EncodeToString(k.DER())[:keyIDLength]
}

// Fingerprint returns "SHA256:" and the hex SHA-256 of the PKCS#1 DER, which
// does identify the key.
func (k *PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k.DER())
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// Recover undoes the private operation: it returns the payload of a signature,
// and refuses one whose padding is not exactly EMSA-PKCS1-v1_5 block type 1
// (RFC 8017, section 9.2): 00 01, at least eight FF, 00, payload.
func (k *PublicKey) Recover(sig Signature) ([]byte, error) {
	s, err := bigmod.NewNat().SetBytes(sig[:], k.modulus)
	if err != nil {
		return nil, errors.New("signature is not smaller than the key's modulus: it was made by another key")
	}
	block := bigmod.NewNat().ExpShortVarTime(s, KeyExponent, k.modulus).Bytes(k.modulus)
	const wrongKey = "padding is not PKCS#1 type 1: made by another key, or damaged"
	if block[0] != 0 || block[1] != 1 {
		return nil, errors.New(wrongKey)
	}
	padding := block[2:]
	i := 0
	for i < len(padding) && padding[i] == 0xFF {
		i++
	}
	if i < 8 || i == len(padding) || padding[i] != 0 {
		return nil, errors.New(wrongKey)
	}
	return padding[i+1:], nil
}

// Verify reports whether sig is this key's signature of what p orders. For a
// checksum the recovered bytes must equal the payload; for a session key, which
// nobody but the drawing process knew, they must be exactly 16 bytes.
func (k *PublicKey) Verify(p Payload, sig Signature) error {
	got, err := k.Recover(sig)
	if err != nil {
		return fmt.Errorf("%s signature: %w", p.kind, err)
	}
	if p.kind == KindSession {
		defer clear(got)
		if len(got) != sessionKeySize {
			return fmt.Errorf("%s signature: found %d bytes inside, want %d", p.kind, len(got), sessionKeySize)
		}
		return nil
	}
	want, err := p.Material(nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s signature: it signs %s, want %s", p.kind, describe(got), describe(want))
	}
	return nil
}

// describe shows recovered bytes without ever showing what may be a session key.
func describe(b []byte) string {
	if len(b) == sha256.Size || len(b) == len(Digest{}.legacyBytes()) {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%d bytes", len(b))
}
