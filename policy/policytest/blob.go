package policytest

import (
	"crypto/sha256"
	"crypto/sha512"

	"golang.org/x/crypto/ssh"
)

// Blob holds the fields of a signature (PROTOCOL.sshsig, section 2), for tests that
// need a wrong one.
type Blob struct {
	Version   uint32 // 0 stands for 1
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte // string format, string blob, and more of a FIDO2 key
	Trailing  []byte
}

// Marshal returns the blob to [Armor].
func (b Blob) Marshal() []byte {
	if b.Version == 0 {
		b.Version = 1
	}
	return ssh.Marshal(struct {
		Magic     [6]byte
		Version   uint32
		PublicKey []byte
		Namespace string
		Reserved  []byte
		Hash      string
		Signature []byte
		Trailing  []byte `ssh:"rest"`
	}{[6]byte([]byte("SSHSIG")), b.Version, b.PublicKey, b.Namespace, b.Reserved, b.Hash, b.Signature, b.Trailing})
}

// SignedData is what a key signs (PROTOCOL.sshsig, section 3). The hash is "sha256",
// or anything else for SHA-512.
func SignedData(namespace, hash, statement string) []byte {
	var digest []byte
	if hash == "sha256" {
		sum := sha256.Sum256([]byte(statement))
		digest = sum[:]
	} else {
		sum := sha512.Sum512([]byte(statement))
		digest = sum[:]
	}
	return ssh.Marshal(struct {
		Magic     [6]byte
		Namespace string
		Reserved  []byte
		Hash      string
		Digest    []byte
	}{[6]byte([]byte("SSHSIG")), namespace, nil, hash, digest})
}
