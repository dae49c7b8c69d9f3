package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// minRSABits is what an approver's RSA key must have.
const minRSABits = 2048

// certSuffix ends the type of every OpenSSH certificate (PROTOCOL.certkeys).
const certSuffix = "-cert-v01@openssh.com"

// signatureFormats are the types of keys that people may have, each with the
// formats of the signatures that are taken from it. Those of SHA-1 are missing,
// and those that a browser makes (webauthn-sk-...).
func signatureFormats(keyType string) []string {
	switch keyType {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return []string{keyType}
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return nil
}

// isSecurityKey reports whether keys of a type live in FIDO2 devices.
func isSecurityKey(keyType string) bool {
	return keyType == ssh.KeyAlgoSKED25519 || keyType == ssh.KeyAlgoSKECDSA256
}

// checkKeyType says why keys of a type are not taken.
func checkKeyType(keyType string) error {
	switch {
	case signatureFormats(keyType) != nil:
		return nil
	case strings.HasSuffix(keyType, certSuffix):
		return errors.New("found a certificate, and certificates are not supported; list the person's key itself")
	case keyType == "ssh-dss":
		return errors.New("found a DSA key, which is too weak; make one with ssh-keygen -t ed25519")
	}
	return fmt.Errorf("found a key of type %s, want ssh-ed25519, ecdsa-sha2-nistp256, -nistp384 or -nistp521, ssh-rsa, %s or %s",
		quote(keyType), ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256)
}

// parseKey reads a public key in its wire form (RFC 4253, section 6.6; PROTOCOL.u2f
// for FIDO2 keys). It takes each key in one encoding only, so that the bytes are a
// name for the key.
func parseKey(wire []byte) (ssh.PublicKey, error) {
	r := wireReader{wire}
	keyType, err := r.string("type of key")
	if err != nil {
		return nil, err
	}
	if err := checkKeyType(string(keyType)); err != nil {
		return nil, err
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, fmt.Errorf("found a damaged key: %w", err)
	}
	if !bytes.Equal(key.Marshal(), wire) {
		return nil, errors.New("found a key that is encoded in an unusual way; export it again with ssh-keygen -y")
	}
	if public, ok := cryptoKey(key).(*rsa.PublicKey); ok {
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("found an RSA key of %d bits, want at least %d", bits, minRSABits)
		}
		if public.N.Bit(0) == 0 {
			return nil, errors.New("found an RSA key with an even modulus, with which no signature can be checked")
		}
	}
	if isSecurityKey(key.Type()) {
		// A device signs for any application that it is asked for; those that do
		// not begin like this belong to web sites.
		if application := keyApplication(wire); !strings.HasPrefix(application, "ssh:") {
			return nil, fmt.Errorf("found a FIDO2 key for the application %s, want one that begins with \"ssh:\", as ssh-keygen makes them", quote(application))
		}
	}
	return key, nil
}

// keyApplication returns the application of a FIDO2 key, which is the last string
// of its wire form, or "".
func keyApplication(wire []byte) string {
	var last []byte
	for r := (wireReader{wire}); len(r.rest) > 0; {
		var err error
		if last, err = r.string("field"); err != nil {
			return ""
		}
	}
	return string(last)
}

func cryptoKey(key ssh.PublicKey) any {
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		return k.CryptoPublicKey()
	}
	return nil
}

// sameSecret names what a key's owner must know, in whatever type of key and with
// whatever public parameters it is dressed up: two lines of an allowed_signers
// file with the same are one key.
func sameSecret(key ssh.PublicKey) string {
	switch public := cryptoKey(key).(type) {
	case ed25519.PublicKey:
		return "ed25519 " + string(public)
	case *ecdsa.PublicKey:
		if point, err := public.Bytes(); err == nil {
			return public.Params().Name + " " + string(point)
		}
	case *rsa.PublicKey:
		return "rsa " + string(public.N.Bytes())
	}
	return "wire " + string(key.Marshal())
}

// checkSignatureFormat says why a key's signature of some format is not taken.
func checkSignatureFormat(keyType, format string) error {
	want := signatureFormats(keyType)
	switch {
	case slices.Contains(want, format):
		return nil
	case keyType == ssh.KeyAlgoRSA && format == ssh.KeyAlgoRSA:
		return errors.New("found a signature with SHA-1 (ssh-rsa), want rsa-sha2-512 or rsa-sha2-256; use a newer ssh-keygen or agent")
	}
	return fmt.Errorf("found a signature of format %s, want %s of a key of type %s", quote(format), strings.Join(want, " or "), keyType)
}
