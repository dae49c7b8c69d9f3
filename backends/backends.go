// Package backends turns the URI of a key into the key: it knows which backend
// each scheme means, and owns what backends of the same kind share, which today
// is one child process for each PKCS#11 token.
//
// Its invariant is that a key is opened without being touched. Whether an HSM
// can be reached or a file is there shows when the key is used, and may change
// from one use to the next; only a URI that can never be right is an error here.
package backends

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/api/option"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/signer"
)

// Spec is a key as it is configured.
type Spec struct {
	Name string // for logs and messages
	URI  string
	// MaxSessions bounds how many signatures a token or Cloud KMS is asked for at
	// once; 0 means 8 for a token and 16 for Cloud KMS, the greatest is 256. Other
	// backends ignore it.
	MaxSessions int
	// Timeout is how long the backend may take for one operation before it
	// counts as hung; 0 means 10 s.
	Timeout time.Duration
}

// Options are what a [Set] needs from the program around it.
type Options struct {
	Logger *zap.Logger
	// ChildCommand is the command, program and arguments, that runs package
	// backends/pkcs11/child; normally os.Executable() and "pkcs11-module".
	ChildCommand []string
	// CredentialsDir is $CREDENTIALS_DIRECTORY, or "" without one.
	CredentialsDir string
	// VaultAddress is $VAULT_ADDR, for keys in Vault whose URI has no address.
	VaultAddress string
	// KMSOptions connect to a Cloud KMS that is not Google's, in tests; see
	// [gcpkms.Options].ClientOptions.
	KMSOptions []option.ClientOption
}

// Set is the keys of one daemon.
type Set struct {
	options Options

	mu      sync.Mutex
	closed  bool
	keys    map[*key]struct{}
	modules map[token]*module
}

// token identifies what one child process serves.
type token struct {
	modulePath string
	token      uri.Token
	pin        uri.PINSource
}

// module is a child process and how many keys use it.
type module struct {
	*pkcs11.Module
	keys int
}

// NewSet returns a Set without keys.
func NewSet(options Options) *Set {
	if options.Logger == nil {
		options.Logger = zap.NewNop()
	}
	return &Set{options: options, keys: map[*key]struct{}{}, modules: map[token]*module{}}
}

// Open returns the key that spec describes. It fails only if the URI is wrong, as
// [CheckURI] would, or the Set was closed.
func (s *Set) Open(spec Spec) (signer.Key, error) {
	where, err := parse(spec.URI)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", spec.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("key %q: the key backends are closed", spec.Name)
	}
	k := &key{set: s}
	switch {
	case where.pkcs11 != nil:
		u := where.pkcs11
		if len(s.options.ChildCommand) == 0 {
			return nil, fmt.Errorf("key %q: no command was given to run PKCS#11 modules with", spec.Name)
		}
		k.token = token{u.ModulePath, u.Token, u.PIN}
		m := s.module(k.token)
		m.keys++
		k.Key = m.Key(pkcs11.KeyOptions{Object: u.Object, ID: u.ID, Timeout: spec.Timeout, MaxSessions: spec.MaxSessions})
	case where.vault != nil:
		k.Key = vault.Open(vault.Config{
			URI:            where.vault,
			DefaultAddress: s.options.VaultAddress,
			CredentialsDir: s.options.CredentialsDir,
			Timeout:        spec.Timeout,
			Logger:         s.options.Logger,
		})
	case where.gcpkms != nil:
		k.Key = gcpkms.Open(gcpkms.Options{
			URI:           where.gcpkms,
			Timeout:       spec.Timeout,
			MaxInFlight:   spec.MaxSessions,
			Logger:        s.options.Logger.With(zap.String("key", spec.Name)),
			ClientOptions: s.options.KMSOptions,
		})
	default:
		k.Key = file.Open(where.path)
	}
	s.keys[k] = struct{}{}
	return k, nil
}

// module returns the module for a token, which is new if no key uses it yet. The
// caller holds mu.
func (s *Set) module(t token) *module {
	m, ok := s.modules[t]
	if !ok {
		m = &module{Module: pkcs11.NewModule(pkcs11.Config{
			ModulePath:     t.modulePath,
			Token:          t.token,
			PIN:            t.pin,
			CredentialsDir: s.options.CredentialsDir,
			ChildCommand:   s.options.ChildCommand,
			Logger:         s.options.Logger,
		})}
		s.modules[t] = m
	}
	return m
}

// Close closes every key that is still open, waiting for calls in flight, and ends
// the child processes. It may be called again.
func (s *Set) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []*key
	for k := range s.keys {
		open = append(open, k)
	}
	s.mu.Unlock()
	var errs []error
	for _, k := range open {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// key is a key that gives its part of the module back when it is closed.
type key struct {
	signer.Key
	set   *Set
	token token // zero for a backend that shares nothing
	once  sync.Once
	err   error
}

// Close implements [signer.Key].
func (k *key) Close() error {
	k.once.Do(func() {
		k.err = errors.Join(k.Key.Close(), k.set.release(k))
	})
	return k.err
}

// release forgets a key, and ends its module if that was the last key of it.
func (s *Set) release(k *key) error {
	s.mu.Lock()
	delete(s.keys, k)
	m, ok := s.modules[k.token]
	if !ok {
		s.mu.Unlock()
		return nil
	}
	m.keys--
	last := m.keys == 0
	if last {
		delete(s.modules, k.token)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return m.Close()
}
