package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // for the hash of OAEP
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/backends/internal/keywrap"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// wrappingBits is the size of the transit engine's own key for imports: the ciphertext
// it expects begins with as many.
const wrappingBits = 4096

// Create has Vault make a key, or a new version of one that exists, and returns the URI
// of that version. Older versions stay and go on to sign.
func (m *Maker) Create(ctx context.Context) (string, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	before, err := m.find(ctx)
	if err != nil {
		return "", err
	}
	if before == nil {
		return m.carryOut(ctx, &step{
			doing: "creating the key",
			path:  "keys/" + m.uri.Key,
			body:  map[string]any{"type": keyType, "exportable": false, "allow_plaintext_backup": false},
		}, nil)
	}
	if err := m.obstacle(before, false); err != nil {
		return "", err
	}
	return m.carryOut(ctx, &step{
		doing:  "making a new version",
		path:   "keys/" + m.uri.Key + "/rotate",
		body:   map[string]any{},
		before: before,
	}, nil)
}

// Import brings a private key into Vault, encrypted on its way for the transit engine's
// wrapping key, and returns the URI of its version: the first of a new key, or the next
// of one that was imported too.
func (m *Maker) Import(ctx context.Context, private *rsa.PrivateKey) (string, error) {
	der, err := keywrap.PKCS8(private)
	if err != nil {
		return "", fmt.Errorf("vault %s: importing: %w", m.uri.name(), err)
	}
	defer clear(der)
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		return "", fmt.Errorf("vault %s: importing: %w", m.uri.name(), err)
	}
	leave, err := m.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	before, err := m.find(ctx)
	if err != nil {
		return "", err
	}
	s := &step{doing: "importing the key", path: "keys/" + m.uri.Key + "/import", before: before}
	s.body = map[string]any{
		"type": keyType, "hash_function": "SHA256",
		"allow_rotation": false, "exportable": false, "allow_plaintext_backup": false,
	}
	if before != nil {
		if err := m.obstacle(before, true); err != nil {
			return "", err
		}
		if err := m.there(before, public); err != nil {
			return "", err
		}
		s.path += "_version"
		s.body = map[string]any{"hash_function": "SHA256"}
	}
	wrapping, err := m.wrappingKey(ctx)
	if err != nil {
		return "", err
	}
	ciphertext, err := keywrap.RSAAESWrap(wrapping, crypto.SHA256, der)
	if err != nil {
		return "", fmt.Errorf("vault %s: importing: %w", m.uri.name(), err)
	}
	s.body["ciphertext"] = base64.StdEncoding.EncodeToString(ciphertext)
	return m.carryOut(ctx, s, public)
}

// there refuses to import what is a version of the key already.
func (m *Maker) there(p *properties, public *capgo.PublicKey) error {
	for n := range p.Versions {
		version, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if found, err := m.rsaKey(p, version); err == nil && found.Equal(public) {
			return fmt.Errorf("%w: vault %s: importing: this private key is version %d already, and nothing was done: its URI is %s", signer.ErrKeyUnusable, m.uri.name(), version, m.uri.of(version))
		}
	}
	return nil
}

// wrappingKey returns the key of the transit engine that a private key is encrypted for.
// That it is Vault's, TLS says.
func (m *Maker) wrappingKey(ctx context.Context) (*rsa.PublicKey, error) {
	const doing = "reading the wrapping key"
	var answer struct {
		Data struct {
			PublicKey string `json:"public_key"`
		} `json:"data"`
	}
	err := m.sessions.do(ctx, doing, func(c *api.Client) error {
		return request(ctx, c, m.cfg.Timeout, m.uri.Mount+"/wrapping_key", nil, &answer)
	})
	if err != nil {
		return nil, m.sessions.fault(ctx, doing, err)
	}
	var key *rsa.PublicKey
	if block, _ := pem.Decode([]byte(answer.Data.PublicKey)); block != nil {
		if parsed, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			key, _ = parsed.(*rsa.PublicKey)
		}
	}
	if key == nil || key.Size()*8 != wrappingBits {
		return nil, fmt.Errorf("%w: vault %s: %s: vault shows no RSA key of %d bits", signer.ErrUnavailable, m.uri.name(), doing, wrappingBits)
	}
	return key, nil
}
