package sshsig_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// handleFile writes what of a key file of ssh-keygen -t ed25519-sk is in the clear
// (PROTOCOL.key), with nothing behind it.
func handleFile(t *testing.T, public ssh.PublicKey) string {
	t.Helper()
	blob := append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{"none", "none", "", 1, public.Marshal(), []byte("a handle")})...)
	path := filepath.Join(t.TempDir(), "id_sk")
	data := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: blob})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
