package file

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/capgo"
)

const (
	pkcs1Type = "RSA PRIVATE KEY"
	pkcs8Type = "PRIVATE KEY"
)

// parse reads one private key in PEM, and refuses one that devices do not
// accept. Its errors never hold any of the key.
func parse(data []byte) (*rsa.PrivateKey, *capgo.PublicKey, error) {
	block, rest := pem.Decode(bytes.TrimSpace(data))
	if block == nil {
		return nil, nil, fmt.Errorf("found no PEM block, want -----BEGIN %s-----", pkcs1Type)
	}
	defer clear(block.Bytes)
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, nil, errors.New("found something after the PEM block, want one private key and nothing else")
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, nil, err
	}
	if n := len(key.Primes); n != 2 {
		return nil, nil, fmt.Errorf("found an RSA key of %d primes, want 2", n)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	return key, public, nil
}

func parseBlock(block *pem.Block) (*rsa.PrivateKey, error) {
	// The library's errors are replaced: they say nothing that helps, and what
	// they quote would be a key.
	switch {
	case block.Headers["Proc-Type"] != "" || block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("found an encrypted private key, and there is nobody to ask for its password: decrypt it with: openssl rsa -traditional -in FILE -out NEWFILE")
	case block.Type == pkcs1Type:
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the PEM block of type %q does not hold a valid PKCS#1 RSA private key: the file is damaged or cut short", block.Type)
		}
		return key, nil
	case block.Type == pkcs8Type:
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the PEM block of type %q does not hold a valid PKCS#8 private key: the file is damaged or cut short", block.Type)
		}
		rsaKey, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("found a private key of type %T, want RSA", key)
		}
		return rsaKey, nil
	case block.Type == "RSA PUBLIC KEY" || block.Type == "PUBLIC KEY":
		return nil, errors.New("found a public key, want the private key (the official CLI calls it .capgo_key_v2)")
	}
	return nil, fmt.Errorf("found a PEM block of type %q, want %q or %q", block.Type, pkcs1Type, pkcs8Type)
}
