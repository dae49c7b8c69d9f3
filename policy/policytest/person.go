// Package policytest makes people who can approve, for tests: SSH keys of every
// kind that package policy takes, their lines in an allowed_signers file, and
// signatures as ssh-keygen -Y sign makes them.
//
// It writes the SSHSIG format by itself and shares no code with the reader that
// it is to test. Its FIDO2 keys are software ([Authenticator]) and say of their
// user what the test wants.
package policytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Kind is a kind of SSH key.
type Kind string

// The kinds. The last two are FIDO2 keys.
const (
	Ed25519   Kind = "ed25519"
	ECDSA256  Kind = "ecdsa-256"
	ECDSA384  Kind = "ecdsa-384"
	ECDSA521  Kind = "ecdsa-521"
	RSA       Kind = "rsa"
	SKEd25519 Kind = "sk-ed25519"
	SKECDSA   Kind = "sk-ecdsa"
)

// Kinds returns all of them.
func Kinds() []Kind {
	return []Kind{Ed25519, ECDSA256, ECDSA384, ECDSA521, RSA, SKEd25519, SKECDSA}
}

// Person is somebody with one SSH key. Two with the same name are one person with
// two keys. The fields may be set until the first signature.
type Person struct {
	Name string
	// Options stand before the key in the allowed_signers file, such as
	// valid-before="20300101Z".
	Options string
	// Hash is what a statement is hashed with before it is signed: "sha512", or
	// "sha256". ssh-keygen takes the former.
	Hash string
	// Algorithm of an RSA key's signatures: "rsa-sha2-512", or "rsa-sha2-256".
	Algorithm string
	// Private is the private key; that of a FIDO2 key is inside Authenticator.
	Private crypto.Signer
	// Authenticator is the FIDO2 key, or nil if the key is of another kind.
	Authenticator *Authenticator

	t      testing.TB
	signer ssh.AlgorithmSigner
}

// NewPerson makes somebody with a new key.
func NewPerson(t testing.TB, name string, kind Kind) *Person {
	t.Helper()
	private, err := generate(kind)
	if err != nil {
		t.Fatalf("generate a key: %v", err)
	}
	return NewPersonWithKey(t, name, kind, private)
}

// NewPersonWithKey makes somebody with a key that fits the kind.
func NewPersonWithKey(t testing.TB, name string, kind Kind, private crypto.Signer) *Person {
	t.Helper()
	p := &Person{Name: name, Hash: "sha512", Private: private, t: t}
	if kind == SKEd25519 || kind == SKECDSA {
		authenticator, err := NewAuthenticator(private)
		if err != nil {
			t.Fatal(err)
		}
		p.Authenticator = authenticator
		p.signer = p.Authenticator
		return p
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	p.signer = signer.(ssh.AlgorithmSigner)
	if kind == RSA {
		p.Algorithm = ssh.KeyAlgoRSASHA512
	}
	return p
}

func generate(kind Kind) (crypto.Signer, error) {
	switch kind {
	case Ed25519, SKEd25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case ECDSA384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSA521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA:
		return rsa.GenerateKey(rand.Reader, 2048)
	default:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
}

// PublicKey returns the public key.
func (p *Person) PublicKey() ssh.PublicKey { return p.signer.PublicKey() }

// Signer returns the key as an SSH agent would offer it.
func (p *Person) Signer() ssh.AlgorithmSigner { return p.signer }

// Fingerprint returns "SHA256:" and the rest.
func (p *Person) Fingerprint() string { return ssh.FingerprintSHA256(p.PublicKey()) }

// AllowedSignersLine returns the line of this person and key in an allowed_signers
// file, with its line feed.
func (p *Person) AllowedSignersLine() string {
	fields := []string{p.Name}
	if p.Options != "" {
		fields = append(fields, p.Options)
	}
	return strings.Join(append(fields, string(ssh.MarshalAuthorizedKey(p.PublicKey()))), " ")
}

// AllowedSigners returns an allowed_signers file with these people.
func AllowedSigners(people ...*Person) []byte {
	var b strings.Builder
	for _, p := range people {
		b.WriteString(p.AllowedSignersLine())
	}
	return []byte(b.String())
}

// WriteKey writes the private key, in OpenSSH's format and without a passphrase
// if it is "", and the public key beside it, and returns the path of the former.
// FIDO2 keys cannot be written.
func (p *Person) WriteKey(dir, passphrase string) string {
	p.t.Helper()
	if p.Authenticator != nil {
		p.t.Fatal("a software FIDO2 key has no file that OpenSSH could use")
	}
	marshal := func() (*pem.Block, error) { return ssh.MarshalPrivateKey(p.Private, p.Name) }
	if passphrase != "" {
		marshal = func() (*pem.Block, error) {
			return ssh.MarshalPrivateKeyWithPassphrase(p.Private, p.Name, []byte(passphrase))
		}
	}
	block, err := marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(dir, "id_"+strings.ReplaceAll(p.Fingerprint()[7:17], "/", "_"))
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(p.PublicKey()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// Sign returns the armored signature over a statement.
func (p *Person) Sign(namespace, statement string) string {
	p.t.Helper()
	return Armor(p.SignBlob(namespace, statement))
}

// SignBlob returns the signature before it is armored (PROTOCOL.sshsig, section 2).
func (p *Person) SignBlob(namespace, statement string) []byte {
	p.t.Helper()
	signature, err := p.signer.SignWithAlgorithm(rand.Reader, SignedData(namespace, p.Hash, statement), p.Algorithm)
	if err != nil {
		p.t.Fatal(err)
	}
	return Blob{PublicKey: p.PublicKey().Marshal(), Namespace: namespace, Hash: p.Hash, Signature: ssh.Marshal(signature)}.Marshal()
}

// Armor wraps a blob as ssh-keygen does.
func Armor(blob []byte) string {
	var b strings.Builder
	b.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for text := base64.StdEncoding.EncodeToString(blob); text != ""; {
		n := min(70, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString("-----END SSH SIGNATURE-----\n")
	return b.String()
}
