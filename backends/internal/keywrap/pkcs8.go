package keywrap

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/capgo"
)

// PKCS8 checks that a private key is one that devices accept, RSA-2048 with exponent
// 65537, of two primes, and that its numbers belong together, and returns its
// PKCS#8 form (RFC 5208) in DER. The caller clears that after use. (The library that
// writes it leaves copies of its own to the garbage collector: a program that
// imports a key should end soon after.)
func PKCS8(private *rsa.PrivateKey) ([]byte, error) {
	if private == nil || private.N == nil || private.D == nil {
		return nil, errors.New("found no private key to import")
	}
	if _, err := capgo.NewPublicKey(&private.PublicKey); err != nil {
		return nil, fmt.Errorf("the key cannot be imported, devices do not accept it: %w", err)
	}
	if n := len(private.Primes); n != 2 {
		return nil, fmt.Errorf("the key cannot be imported: found an RSA key of %d primes, want 2", n)
	}
	// On a copy without the values that are only derived: they are not to be
	// believed, and the caller's key is not to be changed.
	key := &rsa.PrivateKey{PublicKey: private.PublicKey, D: private.D, Primes: private.Primes}
	// The library's errors are replaced: what they quote would be of a key.
	if err := key.Validate(); err != nil {
		return nil, errors.New("the key cannot be imported: its numbers do not belong together, so it is damaged or was put together wrongly")
	}
	key.Precompute()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the key cannot be imported: it cannot be written as PKCS#8")
	}
	return der, nil
}
