package backends

import (
	"context"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/signer"
)

// LogKeyMaker is what a [KeyMaker] is too if its backend makes the key of the audit
// log. It keeps the same contract.
type LogKeyMaker interface {
	// PlanLogKey is to CreateLogKey what Plan is to Create.
	PlanLogKey(ctx context.Context) ([]string, error)
	// CreateLogKey makes an Ed25519 key that can sign and nothing else and never
	// leaves the backend, and returns its URI.
	CreateLogKey(ctx context.Context) (uri string, err error)
}

// MadeOpener is what a [KeyMaker] is too if the URIs that it returns do not say how
// it reached the backend itself.
type MadeOpener interface {
	// OpenMade opens a key that was made or imported, as the maker reaches it.
	OpenMade(uri string) (signer.Key, error)
}

// Maker returns what makes or takes the private key at a URI. For Vault and Cloud
// KMS that is the URI of a key without a version: they number the versions. A URI
// that it accepts has no secret in it and may be shown. It fails only if the URI is
// wrong; whether the backend can be reached shows in its plan.
func (s *Set) Maker(keyURI string) (KeyMaker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	switch scheme(keyURI) {
	case "hashivault":
		u, err := vault.ParseNewURI(keyURI)
		if err != nil {
			return nil, fmt.Errorf("hashivault URI: %w", err)
		}
		m := vault.NewMaker(s.vaultConfig(u, 0))
		return &maker{m, s.lend(token{}, m.Close)}, nil
	case "gcpkms":
		u, err := gcpkms.ParseKeyURI(keyURI)
		if err != nil {
			return nil, fmt.Errorf("gcpkms URI: %w", err)
		}
		m := gcpkms.NewMaker(gcpkms.MakerOptions{URI: u, Logger: s.options.Logger, ClientOptions: s.options.KMSOptions})
		return &kmsMaker{maker{m, s.lend(token{}, m.Close)}, m}, nil
	}
	where, err := parse(keyURI)
	switch {
	case err != nil:
		return nil, err
	case where.pkcs11 != nil:
		m, t, err := s.module(where.pkcs11)
		if err != nil {
			return nil, err
		}
		made := m.Maker(where.pkcs11, 0)
		return &tokenMaker{maker{made, s.lend(t, made.Close)}, made}, nil
	default:
		m := file.NewMaker(where.path)
		return &maker{m, s.lend(token{}, m.Close)}, nil
	}
}

// tokenMaker makes the log's key too.
type tokenMaker struct {
	maker
	token *pkcs11.Maker
}

var _ LogKeyMaker = (*tokenMaker)(nil)

// PlanLogKey implements [LogKeyMaker].
func (m *tokenMaker) PlanLogKey(ctx context.Context) ([]string, error) {
	return m.token.PlanLogKey(ctx)
}

// CreateLogKey implements [LogKeyMaker].
func (m *tokenMaker) CreateLogKey(ctx context.Context) (string, error) {
	return m.token.CreateLogKey(ctx)
}

// kmsMaker opens what it made with its own credentials, which are not in the URI.
type kmsMaker struct {
	maker
	kms *gcpkms.Maker
}

var _ MadeOpener = (*kmsMaker)(nil)

// OpenMade implements [MadeOpener].
func (m *kmsMaker) OpenMade(uri string) (signer.Key, error) {
	k, err := m.kms.Open(uri)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// OpenLogKey returns the key of the audit log that spec describes. As Open, it
// fails only if the URI is wrong, or the Set was closed.
func (s *Set) OpenLogKey(spec Spec) (signer.LogKey, error) {
	where, err := parse(spec.URI)
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	switch {
	case where.pkcs11 != nil:
		m, t, err := s.module(where.pkcs11)
		if err != nil {
			return nil, fmt.Errorf("log key: %w", err)
		}
		k := m.LogKey(pkcs11.KeyOptions{
			Object: where.pkcs11.Object, ID: where.pkcs11.ID, Timeout: spec.Timeout, MaxSessions: spec.MaxSessions,
		})
		return &logKey{k, s.lend(t, k.Close)}, nil
	case where.vault != nil:
		k := vault.OpenLogKey(s.vaultConfig(where.vault, spec.Timeout))
		return &logKey{k, s.lend(token{}, k.Close)}, nil
	case where.gcpkms != nil:
		k := gcpkms.OpenLog(s.kmsOptions(where.gcpkms, spec))
		return &logKey{k, s.lend(token{}, k.Close)}, nil
	default:
		return nil, errors.New(`log key: found a file URI, want a key in a token, Vault or Cloud KMS; the log's key in a file is named by "log.key"`)
	}
}
