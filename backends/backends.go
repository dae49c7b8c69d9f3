// Package backends turns the URI of a key into the key: it knows which backend
// each scheme means, and owns what keys of the same backend share: one child process
// for each PKCS#11 token, and what came of logging in to Vault.
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
	// PINRecords is the folder, as an absolute path, in which attempts to log in to
	// tokens are recorded, the same for every process of this configuration. Its
	// parent must be there. Without it they are kept in memory.
	PINRecords string
	// VaultAddress is $VAULT_ADDR, for keys in Vault whose URI has no address.
	VaultAddress string
	// KMSOptions connect to a Cloud KMS that is not Google's, in tests; see
	// [gcpkms.Options].ClientOptions.
	KMSOptions []option.ClientOption
}

// Set is what one daemon has open in its backends.
type Set struct {
	options Options

	mu      sync.Mutex
	closed  bool
	leases  map[*lease]struct{}
	modules map[token]*module

	logins *vault.Logins
}

// token identifies what one child process serves.
type token struct {
	modulePath, moduleName, initArgs string

	token uri.Token
	pin   uri.PINSource
}

// module is a child process and how many use it.
type module struct {
	*pkcs11.Module
	users int
}

// NewSet returns a Set without keys.
func NewSet(options Options) *Set {
	if options.Logger == nil {
		options.Logger = zap.NewNop()
	}
	return &Set{options: options, leases: map[*lease]struct{}{}, modules: map[token]*module{}, logins: vault.NewLogins()}
}

var errClosed = errors.New("the key backends are closed")

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
		return nil, fmt.Errorf("key %q: %w", spec.Name, errClosed)
	}
	var k signer.Key
	var t token
	switch {
	case where.pkcs11 != nil:
		var m *module
		if m, t, err = s.module(where.pkcs11); err != nil {
			return nil, fmt.Errorf("key %q: %w", spec.Name, err)
		}
		k = m.Key(pkcs11.KeyOptions{
			Object: where.pkcs11.Object, ID: where.pkcs11.ID, Timeout: spec.Timeout, MaxSessions: spec.MaxSessions,
		})
	case where.vault != nil:
		k = vault.Open(s.vaultConfig(where.vault, spec.Timeout))
	case where.gcpkms != nil:
		k = gcpkms.Open(s.kmsOptions(where.gcpkms, spec))
	default:
		k = file.Open(where.path)
	}
	return opened(k, s.lend(t, k.Close)), nil
}

func (s *Set) vaultConfig(u *vault.URI, timeout time.Duration) vault.Config {
	return vault.Config{
		URI:            u,
		DefaultAddress: s.options.VaultAddress,
		CredentialsDir: s.options.CredentialsDir,
		Timeout:        timeout,
		Logger:         s.options.Logger,
		Logins:         s.logins,
	}
}

func (s *Set) kmsOptions(u *gcpkms.URI, spec Spec) gcpkms.Options {
	return gcpkms.Options{
		URI:           u,
		Timeout:       spec.Timeout,
		MaxInFlight:   spec.MaxSessions,
		Logger:        s.options.Logger.With(zap.String("key", spec.Name)),
		ClientOptions: s.options.KMSOptions,
	}
}

// module returns the module of a token, which is new if nobody uses it yet, with
// one user more. The caller holds mu.
func (s *Set) module(u *uri.URI) (*module, token, error) {
	if len(s.options.ChildCommand) == 0 {
		return nil, token{}, errors.New("no command was given to run PKCS#11 modules with")
	}
	t := token{u.ModulePath, u.ModuleName, u.InitArgs, u.Token, u.PIN}
	m, ok := s.modules[t]
	if !ok {
		m = &module{Module: pkcs11.NewModule(pkcs11.Config{
			ModulePath:     t.modulePath,
			ModuleName:     t.moduleName,
			InitArgs:       t.initArgs,
			PINRecords:     s.options.PINRecords,
			Token:          t.token,
			PIN:            t.pin,
			CredentialsDir: s.options.CredentialsDir,
			ChildCommand:   s.options.ChildCommand,
			Logger:         s.options.Logger,
		})}
		s.modules[t] = m
	}
	m.users++
	return m, t, nil
}

// Close closes everything that is still open, waiting for calls in flight, and ends
// the child processes. It may be called again.
func (s *Set) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []*lease
	for l := range s.leases {
		open = append(open, l)
	}
	s.mu.Unlock()
	var errs []error
	for _, l := range open {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// release forgets what was closed, and ends its module if it was the last to use it.
func (s *Set) release(l *lease) error {
	s.mu.Lock()
	delete(s.leases, l)
	m, ok := s.modules[l.token]
	if !ok {
		s.mu.Unlock()
		return nil
	}
	m.users--
	last := m.users == 0
	if last {
		delete(s.modules, l.token)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return m.Close()
}
