package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// makeTimeout is how long Vault may take for one request of a maker. It draws RSA keys
// meanwhile, of 4096 bits for the first import.
const makeTimeout = time.Minute

// Maker makes a key in Vault, or a new version of one: by itself, or of a private key
// that is imported. It implements the KeyMaker of package backends.
//
// Nothing it asks of Vault is asked twice, but after an answer that says that nothing
// was done. What was made is read back and has signed before its URI is returned.
type Maker struct{ *engine }

// NewMaker returns a maker of the key that cfg.URI, from [ParseNewURI], names. Its token
// needs other policies than that of a [Key]; they are in policy-maker.hcl.
func NewMaker(cfg Config) *Maker {
	if cfg.Timeout == 0 {
		cfg.Timeout = makeTimeout
	}
	m := &Maker{newEngine(cfg)}
	m.sessions.needs = fmt.Sprintf("what policy-maker.hcl of bundlesign's documentation gives for %s/keys/%s", m.uri.Mount, m.uri.Key)
	return m
}

// step is what a maker asks Vault to do.
type step struct {
	doing  string
	path   string // below the mount
	body   map[string]any
	before *properties // of the key that gets a version; nil: a new key
}

// version returns the number that Vault will give.
func (s *step) version() int {
	if s.before == nil {
		return 1
	}
	return s.before.Latest + 1
}

// find returns the key, or nil if there is none.
func (m *Maker) find(ctx context.Context) (*properties, error) {
	found, err := m.read(ctx)
	if errors.Is(err, errNoKey) {
		return nil, nil
	}
	return found, err
}

// carryOut has Vault make a version, and checks what it made. The public half must be
// want, unless that is nil.
func (m *Maker) carryOut(ctx context.Context, s *step, want *capgo.PublicKey) (string, error) {
	var answer struct {
		Warnings []string `json:"warnings"`
	}
	var sent error // of the request itself; nil if there was none
	err := m.sessions.doOnce(ctx, s.doing, func(c *api.Client) error {
		sent = request(ctx, c, m.cfg.Timeout, m.uri.Mount+"/"+s.path, s.body, &answer)
		return sent
	})
	if err != nil {
		return "", m.unmade(s, m.sessions.fault(ctx, s.doing, err), sent)
	}
	for _, warning := range answer.Warnings {
		if s.before == nil && strings.Contains(warning, "already existed") {
			return "", fmt.Errorf("%w: vault %s: %s: somebody else made a key of that name at the same time; nothing was done: look at it, and try again to give it another version", signer.ErrKeyUnusable, m.uri.name(), s.doing)
		}
	}
	version := s.version()
	if err := m.verify(ctx, s, want); err != nil {
		return "", fmt.Errorf("%w; vault has made %s; %s", err, m.made(s), m.remove(s))
	}
	m.cfg.Logger.Info("vault has a new version of a key", zap.String("key", m.uri.name()), zap.Int("version", version))
	return m.uri.of(version), nil
}

// verify reads back what Vault made, and has it sign.
func (m *Maker) verify(ctx context.Context, s *step, want *capgo.PublicKey) error {
	found, err := m.read(ctx)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: vault %s: %s: "+format, append([]any{signer.ErrKeyUnusable, m.uri.name(), s.doing}, args...)...)
	}
	version := s.version()
	if found.Latest != version {
		return wrong("the latest version is %d, want %d: somebody else has worked on the key at the same time", found.Latest, version)
	}
	if !found.kept() {
		return wrong("vault says that the key may leave it (exportable, allow_plaintext_backup), want both to be false")
	}
	if imported := want != nil; !is(found.Imported, imported) {
		return wrong("vault does not say imported_key %t", imported)
	}
	public, err := m.rsaKey(found, version)
	if err != nil {
		return wrong("%w", err)
	}
	if want != nil && !public.Equal(want) {
		return wrong("vault shows another public key than that of what was imported")
	}
	return m.test(ctx, version, public)
}

// test has a version sign a session key, which is good for nothing else.
func (m *Maker) test(ctx context.Context, version int, public *capgo.PublicKey) error {
	key := &Key{engine: m.at(version), slots: make(chan struct{}, 1)}
	key.entropy.denied = time.Now() // the policy of makers gives none
	payload := capgo.SessionKeyPayload()
	signatures, err := key.Sign(ctx, []capgo.Payload{payload})
	if err != nil {
		return fmt.Errorf("the test signature of the new key: %w", err)
	}
	if err := public.Verify(payload, signatures[0]); err != nil {
		return fmt.Errorf("%w: vault %s: the test signature of the new key is wrong: %w", signer.ErrKeyUnusable, key.uri.name(), err)
	}
	return nil
}

// unmade is the error for a step that did not succeed. It says whether it may have been
// done all the same.
func (m *Maker) unmade(s *step, err, sent error) error {
	// A refusal is certain. After an answer of 500, or none, Vault may have written.
	if code := status(sent); sent == nil || 400 <= code && code < 500 {
		return fmt.Errorf("%w; nothing was done", err)
	}
	return fmt.Errorf("%w; vault may have made %s all the same: look with vault read %s/keys/%s; %s", err, m.made(s), m.uri.Mount, m.uri.Key, m.remove(s))
}

func (m *Maker) made(s *step) string {
	if s.before == nil {
		return fmt.Sprintf("the key %s", m.uri.name())
	}
	return fmt.Sprintf("version %d of %s", s.version(), m.uri.name())
}

// remove says how to get rid of what was made.
func (m *Maker) remove(s *step) string {
	name := m.uri.Mount + "/keys/" + m.uri.Key
	if s.before == nil {
		return fmt.Sprintf("to remove it: vault write %s/config deletion_allowed=true, then vault delete %s", name, name)
	}
	return "one version cannot be deleted, and as long as no configuration names it, it does no harm"
}
