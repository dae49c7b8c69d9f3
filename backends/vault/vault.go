// Package vault uses a private key in the transit secrets engine of HashiCorp Vault
// or OpenBao.
//
// Its invariant is that the key used is exactly one version of one key: each request
// names the version, each answer must be from it, and a key that is rotated goes on
// to sign with the version that apps carry the public half of.
//
// What it assumes of Vault: that it is who its TLS certificate says, and that it tells
// the truth about its keys. The material that is signed, which for a session key is
// the key itself, goes through Vault.
//
// There is no goroutine and no state but a token and connections: a token is got,
// renewed and replaced by the calls that need one. So whatever was wrong heals with
// the first call after it was put right.
package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/signer"
)

// Backend is the name of this backend in custody evidence.
const Backend = "vault"

const (
	defaultTimeout = 10 * time.Second
	// maxInFlight bounds the requests of one key under way; more wait. Past a few for
	// each of its processors Vault gets slower, not faster.
	maxInFlight = 16
)

// Config is what a key needs to be used.
type Config struct {
	URI *URI
	// DefaultAddress is used if the URI has none: normally $VAULT_ADDR.
	DefaultAddress string
	// CredentialsDir is $CREDENTIALS_DIRECTORY, or "" without one.
	CredentialsDir string
	// Timeout is how long Vault may take for one request before it counts as not
	// there; 0 means 10 s.
	Timeout time.Duration
	Logger  *zap.Logger // nil: none
}

// Key is one version of one key in Vault.
type Key struct {
	cfg       Config
	uri       *URI
	transport *transport
	sessions  *sessions
	entropy   entropy
	gate      gate.Gate
	slots     chan struct{} // one for each request of Sign or Inspect under way
	closing   sync.Once
}

var _ signer.Key = (*Key)(nil)

// Open returns a key. Vault is first spoken to when the key is used.
func Open(cfg Config) *Key {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	uri := *cfg.URI // the address may be filled in
	if uri.Address == "" {
		uri.Address = cfg.DefaultAddress
	}
	cfg.URI = &uri
	k := &Key{
		cfg:       cfg,
		uri:       &uri,
		transport: &transport{uri: &uri, credentialsDir: cfg.CredentialsDir},
		slots:     make(chan struct{}, maxInFlight),
	}
	k.sessions = newSessions(cfg, k.transport)
	return k
}

// Close implements [signer.Key]. The token is revoked if it was got by logging in;
// if Vault cannot be reached, it expires by itself.
func (k *Key) Close() error {
	k.gate.Close()
	k.closing.Do(func() {
		k.sessions.end()
		k.transport.closeIdle()
	})
	return nil
}

var errClosed = fmt.Errorf("%w: vault: the key was closed", signer.ErrKeyUnusable)

// enter lets a call in, or says why not.
func (k *Key) enter(ctx context.Context) (leave func(), err error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		k.gate.Leave()
		return nil, fmt.Errorf("vault %s: not begun: %w", k.uri.name(), err)
	}
	return k.gate.Leave, nil
}
