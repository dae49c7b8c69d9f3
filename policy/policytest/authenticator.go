package policytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// The flags of a FIDO2 signature (CTAP 2.1, authenticator data; PROTOCOL.u2f of
// OpenSSH).
const (
	UserPresent  byte = 0x01
	UserVerified byte = 0x04
)

// Authenticator is a FIDO2 key in software: nobody touches it, and it says of its
// user what Flags holds.
type Authenticator struct {
	Flags       byte   // UserPresent unless set
	Application string // "ssh:" unless set; it is part of the public key

	private crypto.Signer
	counter atomic.Uint32
}

var _ ssh.AlgorithmSigner = (*Authenticator)(nil)

// NewAuthenticator makes one around an Ed25519 or a P-256 key.
func NewAuthenticator(private crypto.Signer) (*Authenticator, error) {
	switch private.(type) {
	case ed25519.PrivateKey, *ecdsa.PrivateKey:
		return &Authenticator{Flags: UserPresent, Application: "ssh:", private: private}, nil
	default:
		return nil, fmt.Errorf("found a %T, want an Ed25519 or a P-256 key", private)
	}
}

// PublicKey returns the key of the type sk-ssh-ed25519@openssh.com or
// sk-ecdsa-sha2-nistp256@openssh.com.
func (a *Authenticator) PublicKey() ssh.PublicKey {
	var blob []byte
	switch public := a.private.Public().(type) {
	case ed25519.PublicKey:
		blob = ssh.Marshal(struct {
			Type        string
			Key         []byte
			Application string
		}{ssh.KeyAlgoSKED25519, public, a.Application})
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err) // it was generated
		}
		blob = ssh.Marshal(struct {
			Type        string
			Curve       string
			Point       []byte
			Application string
		}{ssh.KeyAlgoSKECDSA256, "nistp256", point, a.Application})
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		panic(err) // it is marshalled above
	}
	return key
}

// Sign is SignWithAlgorithm with the only algorithm there is.
func (a *Authenticator) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return a.SignWithAlgorithm(r, data, "")
}

// SignWithAlgorithm signs as a FIDO2 key does for OpenSSH (PROTOCOL.u2f, "SSH U2F
// Signatures"): the hash of the application, the flags, a counter, and the hash
// of the data.
func (a *Authenticator) SignWithAlgorithm(_ io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte(a.Application)), sha256.Sum256(data)
	rest := struct {
		Flags   byte
		Counter uint32
	}{a.Flags, a.counter.Add(1)}
	signed := append(append(application[:], ssh.Marshal(rest)...), message[:]...)

	signature := &ssh.Signature{Format: a.PublicKey().Type(), Rest: ssh.Marshal(rest)}
	switch private := a.private.(type) {
	case ed25519.PrivateKey:
		signature.Blob = ed25519.Sign(private, signed)
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(signed)
		der, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		var points struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &points); err != nil {
			return nil, err
		}
		signature.Blob = ssh.Marshal(points)
	}
	return signature, nil
}
