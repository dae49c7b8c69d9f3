package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

const logKeyType = "ed25519"

// LogKey is one version of an Ed25519 key in Vault: the key of an audit log.
type LogKey struct {
	*engine
	// seen is set once Vault said what the key is. Before, nothing is signed: asked
	// this way, a key of another type would sign too, in a way of its own.
	seen atomic.Bool
}

var _ signer.LogKey = (*LogKey)(nil)

// OpenLogKey returns the key of an audit log. Vault is first spoken to when the key is
// used.
func OpenLogKey(cfg Config) *LogKey { return &LogKey{engine: newEngine(cfg)} }

// PublicKey implements [signer.LogKey]. It also refuses a key that Vault gives out.
func (k *LogKey) PublicKey(ctx context.Context) (ed25519.PublicKey, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return k.publicKey(ctx)
}

func (k *LogKey) publicKey(ctx context.Context) (ed25519.PublicKey, error) {
	found, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	public, err := k.ed25519Key(found)
	if err != nil {
		return nil, fmt.Errorf("%w: vault %s: %w", signer.ErrKeyUnusable, k.uri.name(), err)
	}
	k.seen.Store(true)
	return public, nil
}

func (k *LogKey) ed25519Key(p *properties) (ed25519.PublicKey, error) {
	switch {
	case p.Type != logKeyType:
		return nil, fmt.Errorf("found a key of type %q, want %s for the log", k.sessions.show(p.Type), logKeyType)
	case !is(p.Derived, false):
		return nil, errors.New("found a derived key, which is a different one for each context, want one with derived=false")
	case !p.kept():
		return nil, errors.New("found a key that may leave Vault (exportable or allow_plaintext_backup is true), which cannot be taken back: make another for the log")
	}
	found, err := p.usable(k.uri.Version)
	if err != nil {
		return nil, err
	}
	public, err := base64.StdEncoding.DecodeString(found.PublicKey)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("vault shows a public key that is not %d bytes in base64", ed25519.PublicKeySize)
	}
	return public, nil
}

// SignCheckpoint implements [signer.LogKey]. Vault signs the text itself (PureEdDSA of RFC
// 8032), not its hash.
func (k *LogKey) SignCheckpoint(ctx context.Context, text audit.CheckpointText) ([]byte, error) {
	const doing = "signing a checkpoint"
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(text.Bytes()) == 0 {
		return nil, fmt.Errorf("vault %s: %s: found no text", k.uri.name(), doing)
	}
	if !k.seen.Load() {
		if _, err := k.publicKey(ctx); err != nil {
			return nil, err
		}
	}
	order := struct {
		Input      string `json:"input"` // base64
		KeyVersion int    `json:"key_version"`
	}{base64.StdEncoding.EncodeToString(text.Bytes()), k.uri.Version}
	var answer signAnswer
	err = k.sessions.do(ctx, doing, func(c *api.Client) error {
		answer = signAnswer{}
		return request(ctx, c, k.cfg.Timeout, k.uri.Mount+"/sign/"+k.uri.Key, order, &answer)
	})
	if err != nil {
		return nil, k.look(ctx, err, k.sessions.fault(ctx, doing, err))
	}
	signature, err := k.decode(answer.Data.Signature)
	if err == nil && len(signature) != ed25519.SignatureSize {
		err = fmt.Errorf("found a signature of %d bytes, want %d", len(signature), ed25519.SignatureSize)
	}
	if err != nil {
		return nil, k.look(ctx, nil, fmt.Errorf("%w: vault %s: %s: %w", signer.ErrUnavailable, k.uri.name(), doing, err))
	}
	return signature, nil
}

// look returns what is wrong with the key, or told if that shows nothing.
func (k *LogKey) look(ctx context.Context, answer, told error) error {
	if answer == nil {
		k.seen.Store(false) // it may have become another
	}
	return blame(ctx, answer, told, func() error { _, err := k.publicKey(ctx); return err })
}
