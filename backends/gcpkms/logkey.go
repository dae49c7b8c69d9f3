package gcpkms

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/signer"
)

const logAlgorithm = kmspb.CryptoKeyVersion_EC_SIGN_ED25519

// LogKey is the key version that signs the checkpoints of the audit log: of
// algorithm EC_SIGN_ED25519, which takes the text itself and no digest of it.
type LogKey struct {
	key  *Key // for what all key versions have in common; its own calls are not used
	gate gate.Gate

	// isLogKey is that the version was found to be of the log's algorithm, which
	// never changes. Before that nothing is signed: a key for apps would sign the
	// text too.
	isLogKey atomic.Bool
}

var _ signer.LogKey = (*LogKey)(nil)

// OpenLog returns the log's key that the options describe, without touching it.
func OpenLog(o Options) *LogKey { return &LogKey{key: Open(o)} }

// Close implements [signer.LogKey].
func (k *LogKey) Close() error {
	k.gate.Close()
	return k.key.Close()
}

// PublicKey implements [signer.LogKey].
func (k *LogKey) PublicKey(ctx context.Context) (ed25519.PublicKey, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	return k.publicKey(ctx)
}

func (k *LogKey) publicKey(ctx context.Context) (public ed25519.PublicKey, err error) {
	err = k.key.call(ctx, "reading the public key", func(ctx context.Context, c *client) error {
		answer, err := c.GetPublicKey(ctx, &kmspb.GetPublicKeyRequest{Name: k.key.uri.Version})
		if err != nil {
			return err
		}
		public, err = k.check(answer)
		return err
	})
	if err == nil {
		k.isLogKey.Store(true)
	}
	return public, err
}

func (k *LogKey) check(answer *kmspb.PublicKey) (ed25519.PublicKey, error) {
	if err := intact("the public key", []byte(answer.GetPem()), answer.GetPemCrc32C()); err != nil {
		return nil, err
	}
	if err := k.key.same(answer.GetName()); err != nil {
		return nil, err
	}
	if got := answer.GetAlgorithm(); got != logAlgorithm {
		return nil, &fault{kind: unusable, text: fmt.Sprintf("the log's key has algorithm %s, want %s; the algorithm of a version cannot be changed: make a new key", got, logAlgorithm)}
	}
	if err := k.key.checkLevel(answer.GetProtectionLevel()); err != nil {
		return nil, err
	}
	public, err := parseEd25519(answer.GetPem())
	if err != nil {
		return nil, &fault{kind: unusable, text: "the log's key: " + err.Error()}
	}
	return public, nil
}

// parseEd25519 reads the one PKIX block that the service sends (RFC 7468, section
// 13; RFC 8410).
func parseEd25519(text string) (ed25519.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("the service did not send one PEM block PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the service sent a public key that cannot be parsed")
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, want an Ed25519 key", parsed)
	}
	return public, nil
}

// SignCheckpoint implements [signer.LogKey].
func (k *LogKey) SignCheckpoint(ctx context.Context, text audit.CheckpointText) ([]byte, error) {
	data := text.Bytes()
	if len(data) == 0 {
		return nil, errors.New("gcpkms: found no checkpoint to sign")
	}
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	if !k.isLogKey.Load() {
		if _, err := k.publicKey(ctx); err != nil {
			return nil, err
		}
	}
	request := &kmspb.AsymmetricSignRequest{Name: k.key.uri.Version, Data: data, DataCrc32C: crc32c(data)}
	var signature []byte
	err := k.key.call(ctx, "signing a checkpoint", func(ctx context.Context, c *client) error {
		answer, err := c.AsymmetricSign(ctx, request)
		if err != nil {
			return err
		}
		if err := k.key.checkAnswer(answer); err != nil {
			return err
		}
		if n := len(answer.GetSignature()); n != ed25519.SignatureSize {
			return &fault{kind: unusable, text: fmt.Sprintf("found a signature of %d bytes, want %d", n, ed25519.SignatureSize)}
		}
		signature = answer.GetSignature()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}
