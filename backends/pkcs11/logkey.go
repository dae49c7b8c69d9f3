package pkcs11

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// LogKey is the Ed25519 private key of the audit log in a module's token.
type LogKey struct {
	module   *Module
	name     string // for messages
	selector proto.Selector
	timeout  time.Duration
	gate     gate.Gate
}

var _ signer.LogKey = (*LogKey)(nil)

// LogKey returns the log's key in the token. Nothing is asked of the token before the
// key is used.
func (m *Module) LogKey(o KeyOptions) *LogKey {
	// It shares the sessions that a key with these options has.
	like := m.Key(o)
	return &LogKey{
		module:   m,
		name:     "the log's key " + uri.KeyName(o.Object, o.ID) + " in " + m.name,
		selector: like.selector,
		timeout:  like.timeout,
	}
}

// SignCheckpoint implements [signer.LogKey]. If ctx ends, the order that the module
// has goes on without its caller.
func (k *LogKey) SignCheckpoint(ctx context.Context, text audit.CheckpointText) ([]byte, error) {
	body, err := proto.Checkpoint{Key: k.selector, Text: text}.Encode()
	if err != nil {
		return nil, fmt.Errorf("pkcs11 %s: %w", k.name, err)
	}
	return k.ask(ctx, proto.OpCheckpoint, body, proto.DecodeCheckpointSigned)
}

// PublicKey implements [signer.LogKey].
func (k *LogKey) PublicKey(ctx context.Context) (ed25519.PublicKey, error) {
	body, err := proto.Encode(proto.LogKey{Label: []byte(k.selector.Label), ID: []byte(k.selector.ID)})
	if err != nil {
		return nil, err
	}
	return k.ask(ctx, proto.OpLogKey, body, func(b []byte) ([]byte, error) {
		if len(b) != ed25519.PublicKeySize {
			return nil, errors.New("the public key is not 32 bytes long")
		}
		return b, nil
	})
}

// ask asks the child, in the way in which a [Key] does.
func (k *LogKey) ask(ctx context.Context, op proto.Op, body []byte, decode func([]byte) ([]byte, error)) ([]byte, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, k.module.explain(k.name, err)
	}
	var answer []byte
	err := k.module.do(ctx, func(p *process) error {
		if err := p.takeSlot(ctx); err != nil {
			return err
		}
		got, err := p.send(op, body, k.timeout, true).wait(ctx)
		if err != nil {
			return err
		}
		if answer, err = decode(got); err != nil {
			return p.broke(err)
		}
		return nil
	})
	if err != nil {
		return nil, k.module.explainMaking(k.name, err)
	}
	return answer, nil
}

// Close implements [signer.LogKey].
func (k *LogKey) Close() error {
	k.gate.Close()
	return nil
}
