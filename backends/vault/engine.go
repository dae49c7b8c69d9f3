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

const defaultTimeout = 10 * time.Second

// Config is what a key needs to be used.
type Config struct {
	URI *URI
	// DefaultAddress is used if the URI has none: normally $VAULT_ADDR.
	DefaultAddress string
	// CredentialsDir is $CREDENTIALS_DIRECTORY, or "" without one.
	CredentialsDir string
	// Timeout is how long Vault may take for one request before it counts as not
	// there; 0 means 10 s, or a minute to make a key.
	Timeout time.Duration
	Logger  *zap.Logger // nil: none
	// Logins are shared by all keys of a daemon; nil: the key logs in for itself alone.
	Logins *Logins
}

// engine is Vault as the user of one key sees it: the way there, a token, and what can
// be asked about the key.
type engine struct {
	cfg       Config
	uri       *URI
	transport *transport
	sessions  *sessions
	gate      gate.Gate
	closing   sync.Once
}

func newEngine(cfg Config) *engine {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Logins == nil {
		cfg.Logins = NewLogins()
	}
	uri := *cfg.URI // the address may be filled in
	if uri.Address == "" {
		uri.Address = cfg.DefaultAddress
	}
	cfg.URI = &uri
	e := &engine{cfg: cfg, uri: &uri, transport: &transport{uri: &uri, credentialsDir: cfg.CredentialsDir}}
	e.sessions = newSessions(cfg, e.transport)
	return e
}

// at returns the same Vault as the user of one version sees it. It shares the token, and is
// not closed.
func (e *engine) at(version int) *engine {
	uri := *e.uri
	uri.Version = version
	cfg := e.cfg
	cfg.URI = &uri
	return &engine{cfg: cfg, uri: &uri, transport: e.transport, sessions: e.sessions}
}

// Close implements [signer.Key]. The token is revoked if it was got by logging in;
// if Vault cannot be reached, it expires by itself.
func (e *engine) Close() error {
	e.gate.Close()
	e.closing.Do(func() {
		e.sessions.end()
		e.transport.closeIdle()
	})
	return nil
}

var errClosed = fmt.Errorf("%w: vault: the key was closed", signer.ErrKeyUnusable)

// enter lets a call in, or says why not.
func (e *engine) enter(ctx context.Context) (leave func(), err error) {
	if !e.gate.Enter() {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		e.gate.Leave()
		return nil, fmt.Errorf("vault %s: not begun: %w", e.uri.name(), err)
	}
	return e.gate.Leave, nil
}
