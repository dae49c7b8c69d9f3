// Package sshsig makes SSH signatures over texts, as ssh-keygen -Y sign does
// (PROTOCOL.sshsig of OpenSSH), with a key file or an ssh-agent.
//
// Its invariant is that nothing leaves it that would not verify: each signature
// is checked with the public key first, and made with an algorithm that is not
// broken. It asks nobody anything and shows nothing: whoever calls it has shown
// the text to the person whose key it is.
package sshsig

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	magic   = "SSHSIG"
	version = 1
	hash    = "sha512"

	begin = "-----BEGIN SSH SIGNATURE-----\n"
	end   = "-----END SSH SIGNATURE-----\n"
	// lineLength is that of ssh-keygen, in characters.
	lineLength = 70
)

// envelope is the signature as it stands in its armor, without [magic].
type envelope struct {
	Version   uint32
	PublicKey string
	Namespace string
	Reserved  string
	Hash      string
	Signature string
}

// signed is what the key signs, without [magic].
type signed struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    string
}

// Sign returns an armored signature over a text for a namespace.
func Sign(key ssh.Signer, namespace, text string) (string, error) {
	public := key.PublicKey()
	if err := CheckKey(public); err != nil {
		return "", err
	}
	if namespace == "" {
		return "", errors.New("namespace: found none, want the purpose of the signature")
	}
	data := payload(namespace, text)
	sig, err := sign(key, data)
	if err != nil {
		return "", err
	}
	if err := public.Verify(data, sig); err != nil {
		return "", fmt.Errorf("what the key made is no signature of its own: %w", err)
	}
	return armor(envelope{
		Version: version, PublicKey: string(public.Marshal()), Namespace: namespace, Hash: hash,
		Signature: string(ssh.Marshal(sig)),
	}), nil
}

// payload is the bytes that the key is given.
func payload(namespace, text string) []byte {
	digest := sha512.Sum512([]byte(text))
	return append([]byte(magic), ssh.Marshal(signed{Namespace: namespace, Hash: hash, Digest: string(digest[:])})...)
}

// sign has RSA keys use SHA-512: what they do unasked is SHA-1.
func sign(key ssh.Signer, data []byte) (*ssh.Signature, error) {
	if key.PublicKey().Type() != ssh.KeyAlgoRSA {
		return key.Sign(rand.Reader, data)
	}
	choosy, ok := key.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("this RSA key signs with SHA-1 only, want rsa-sha2-512")
	}
	sig, err := choosy.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	if err == nil && sig.Format != ssh.KeyAlgoRSASHA512 {
		return nil, fmt.Errorf("found a signature of the kind %q, want %s", sig.Format, ssh.KeyAlgoRSASHA512)
	}
	return sig, err
}

// minRSA is the shortest RSA key in bits.
const minRSA = 2048

// CheckKey refuses the keys that cannot approve anything: DSA, short RSA, and
// certificates, whose keys an allowed_signers file does not list.
func CheckKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		return checkRSA(key)
	}
	return fmt.Errorf("found a key of the type %q, want ed25519, ecdsa, rsa, or a FIDO2 key", key.Type())
}

// checkRSA looks at the modulus, which stands in the wire format of the key (RFC 4253,
// section 6.6).
func checkRSA(key ssh.PublicKey) error {
	var parts struct {
		Type string
		E, N []byte
	}
	if err := ssh.Unmarshal(key.Marshal(), &parts); err != nil {
		return fmt.Errorf("reading the RSA key: %w", err)
	}
	n := bytes.TrimLeft(parts.N, "\x00")
	if bits := len(n) * 8; bits < minRSA {
		return fmt.Errorf("found an RSA key of at most %d bits, want at least %d", bits, minRSA)
	}
	return nil
}

func armor(e envelope) string {
	text := base64.StdEncoding.EncodeToString(append([]byte(magic), ssh.Marshal(e)...))
	var b strings.Builder
	b.WriteString(begin)
	for len(text) > lineLength {
		b.WriteString(text[:lineLength] + "\n")
		text = text[lineLength:]
	}
	b.WriteString(text + "\n" + end)
	return b.String()
}

// maxArmored is the longest armored signature that is read, in bytes.
const maxArmored = 32 << 10

// Key returns the public key that an armored signature claims to be made with, if
// it is one over this text for this namespace.
func Key(armored, namespace, text string) (ssh.PublicKey, error) {
	e, err := parse(armored)
	if err != nil {
		return nil, err
	}
	if e.Namespace != namespace {
		return nil, fmt.Errorf("found a signature for %q, want one for %q", e.Namespace, namespace)
	}
	if e.Hash != hash || e.Version != version || e.Reserved != "" {
		return nil, fmt.Errorf("found version %d with the hash %q, want version %d with %s", e.Version, e.Hash, version, hash)
	}
	public, err := ssh.ParsePublicKey([]byte(e.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("reading the public key of the signature: %w", err)
	}
	sig := new(ssh.Signature)
	if err := ssh.Unmarshal([]byte(e.Signature), sig); err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	if err := public.Verify(payload(namespace, text), sig); err != nil {
		return nil, fmt.Errorf("it is no signature over this text: %w", err)
	}
	return public, CheckKey(public)
}

func parse(armored string) (*envelope, error) {
	if len(armored) > maxArmored {
		return nil, fmt.Errorf("found %d bytes, want at most %d", len(armored), maxArmored)
	}
	inner, begun := strings.CutPrefix(armored, begin)
	inner, ended := strings.CutSuffix(strings.TrimSuffix(inner, "\n")+"\n", end)
	if !begun || !ended {
		return nil, errors.New("found no armored SSH signature")
	}
	blob, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(inner, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("found no base64 in the armor: %w", err)
	}
	rest, ok := bytes.CutPrefix(blob, []byte(magic))
	if !ok {
		return nil, errors.New("found no SSH signature in the armor")
	}
	e := new(envelope)
	if err := ssh.Unmarshal(rest, e); err != nil {
		return nil, fmt.Errorf("reading the armored signature: %w", err)
	}
	return e, nil
}
