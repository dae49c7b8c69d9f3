package vaulttest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // for the hash of OAEP
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/bundlesign/bundlesign/backends/internal/keywrap"
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

// LogPublicKey returns the public half of a version of an Ed25519 key.
func (s *Server) LogPublicKey(name string, version int) ed25519.PublicKey {
	s.t.Helper()
	versions := s.Read("transit/keys/" + name)["keys"].(map[string]any)
	public, err := base64.StdEncoding.DecodeString(versions[strconv.Itoa(version)].(map[string]any)["public_key"].(string))
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
// documentation asks ("Bring your own key"), as root. Options are those of the import.
func (s *Server) ImportKey(name string, key *rsa.PrivateKey, options map[string]any) {
	s.t.Helper()
	block, _ := pem.Decode([]byte(s.Read("transit/wrapping_key")["public_key"].(string)))
	wrapping, err := x509.ParsePKIXPublicKey(block.Bytes)
	s.must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	ciphertext, err := keywrap.RSAAESWrap(wrapping.(*rsa.PublicKey), crypto.SHA256, der)
	s.must(err)
	body := map[string]any{"type": "rsa-2048", "ciphertext": base64.StdEncoding.EncodeToString(ciphertext)}
	maps.Copy(body, options)
	s.Write("transit/keys/"+name+"/import", body)
}

// Keys counts the versions of all keys in the engine at "transit".
func (s *Server) Keys() (versions int) {
	s.t.Helper()
	list, err := s.Root.Logical().List("transit/keys")
	s.must(err)
	if list == nil {
		return 0
	}
	for _, name := range list.Data["keys"].([]any) {
		// The wrapping key is in a folder of its own.
		if name := name.(string); !strings.HasSuffix(name, "/") {
			versions += len(s.Read("transit/keys/" + name)["keys"].(map[string]any))
		}
	}
	return versions
}

// Export tries to take a key out of Vault, in each of the ways that its API has, and
// returns how Vault refuses. Who may change the key's configuration could permit it
// before; that is not tried.
func (s *Server) Export(name string) error {
	s.t.Helper()
	for _, path := range []string{"export/signing-key/", "export/encryption-key/", "backup/"} {
		if _, err := s.Root.Logical().Read("transit/" + path + name); err == nil {
			return nil
		}
	}
	return errors.New("vault refuses to export the key and to back it up")
}
