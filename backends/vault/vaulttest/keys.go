package vaulttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strconv"

	"github.com/bundlesign/bundlesign/capgo"
)

// CreateKey has Vault make an RSA-2048 key in the engine at "transit" and returns the
// public half of its first version.
func (s *Server) CreateKey(name string) *capgo.PublicKey {
	s.t.Helper()
	s.Write("transit/keys/"+name, map[string]any{"type": "rsa-2048"})
	return s.PublicKey(name, 1)
}

// PublicKey returns the public half of a version.
func (s *Server) PublicKey(name string, version int) *capgo.PublicKey {
	s.t.Helper()
	versions := s.Read("transit/keys/" + name)["keys"].(map[string]any)
	text := versions[strconv.Itoa(version)].(map[string]any)["public_key"].(string)
	block, _ := pem.Decode([]byte(text))
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	s.must(err)
	public, err := capgo.NewPublicKey(parsed.(*rsa.PublicKey))
	s.must(err)
	return public
}

// ConfigureKey changes the configuration of a key: exportable, deletion_allowed and so on.
func (s *Server) ConfigureKey(name string, config map[string]any) {
	s.t.Helper()
	s.Write("transit/keys/"+name+"/config", config)
}

// RotateKey makes a new version.
func (s *Server) RotateKey(name string) {
	s.t.Helper()
	s.Write("transit/keys/"+name+"/rotate", nil)
}

// TrimKey destroys the versions of a key before this one, for good.
func (s *Server) TrimKey(name string, least int) {
	s.t.Helper()
	s.ConfigureKey(name, map[string]any{"min_decryption_version": least, "min_encryption_version": least})
	s.Write("transit/keys/"+name+"/trim", map[string]any{"min_available_version": least})
}

// DeleteKey deletes a key.
func (s *Server) DeleteKey(name string) {
	s.t.Helper()
	s.ConfigureKey(name, map[string]any{"deletion_allowed": true})
	s.Delete("transit/keys/" + name)
}

// ImportKey brings a key that was made outside into Vault, wrapped as its
// documentation asks ("Bring your own key"): the key under AES-256-KWP, and the AES key
// under RSA-OAEP for Vault's wrapping key.
func (s *Server) ImportKey(name string, key *rsa.PrivateKey) {
	s.t.Helper()
	block, _ := pem.Decode([]byte(s.Read("transit/wrapping_key")["public_key"].(string)))
	wrapping, err := x509.ParsePKIXPublicKey(block.Bytes)
	s.must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	aesKey := make([]byte, 32)
	rand.Read(aesKey)
	wrappedAES, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, wrapping.(*rsa.PublicKey), aesKey, nil)
	s.must(err)
	wrappedKey, err := wrapKWP(aesKey, der)
	s.must(err)
	s.Write("transit/keys/"+name+"/import", map[string]any{
		"type": "rsa-2048", "hash_function": "SHA256",
		"ciphertext": base64.StdEncoding.EncodeToString(append(wrappedAES, wrappedKey...)),
	})
}
