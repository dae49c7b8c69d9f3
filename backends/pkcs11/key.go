package pkcs11

import (
	"context"
	"time"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// Key is one private key in a module's token.
type Key struct {
	module   *Module
	name     string // for messages
	selector proto.Selector
	timeout  time.Duration
	gate     gate.Gate
}

var _ signer.Key = (*Key)(nil)

// KeyOptions says which key of a token, and how to use it.
type KeyOptions struct {
	Object string // CKA_LABEL; this or ID, or both
	ID     string // CKA_ID, raw bytes
	// Timeout is how long the module may take for one order before it counts as
	// hung; 0 means [DefaultTimeout].
	Timeout time.Duration
	// MaxSessions bounds the sessions with the token; 0 means [DefaultSessions].
	// Of several keys of a token the largest number counts, from the next start
	// of the child on.
	MaxSessions int
}

// Key returns a key of the token. Nothing is asked of the token before the key is
// used.
func (m *Module) Key(o KeyOptions) *Key {
	k := &Key{
		module:   m,
		name:     uri.KeyName(o.Object, o.ID) + " in " + m.name,
		selector: proto.Selector{Label: o.Object, ID: o.ID},
		timeout:  o.Timeout,
	}
	if k.timeout <= 0 {
		k.timeout = DefaultTimeout
	}
	sessions := o.MaxSessions
	if sessions <= 0 {
		sessions = DefaultSessions
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timeout = max(m.timeout, k.timeout)
	m.sessions = max(m.sessions, min(sessions, MaxSessions))
	return k
}

// Sign implements [signer.Key]. If ctx ends, the orders that the module has go on
// without their caller.
func (k *Key) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	b, err := newBatch(k.selector, payloads, k.timeout)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, k.module.explain(k.name, err)
	}
	if len(payloads) == 0 {
		return b.signatures, nil
	}
	if err := k.module.do(ctx, func(p *process) error { return b.run(ctx, p) }); err != nil {
		return nil, k.module.explain(k.name, err)
	}
	return b.signatures, nil
}

// Inspect implements [signer.Key].
func (k *Key) Inspect(ctx context.Context) (*signer.Evidence, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	body, err := proto.Encode(proto.Inspect{Label: []byte(k.selector.Label), ID: []byte(k.selector.ID)})
	if err != nil {
		return nil, err
	}
	var evidence *signer.Evidence
	err = k.module.do(ctx, func(p *process) error {
		if err := p.takeSlot(ctx); err != nil {
			return err
		}
		got, err := p.send(proto.OpInspect, body, k.timeout, true).wait(ctx)
		if err != nil {
			return err
		}
		var found proto.Inspected
		if err := proto.Decode(got, &found); err != nil {
			return p.broke(err)
		}
		evidence, err = k.evidence(p, &found)
		return err
	})
	if err != nil {
		return nil, k.module.explain(k.name, err)
	}
	return evidence, nil
}

// Close implements [signer.Key].
func (k *Key) Close() error {
	k.gate.Close()
	return nil
}
