package backends

import (
	"context"
	"errors"
	"sync"

	"github.com/bundlesign/bundlesign/signer"
)

// lease is the part that something opened has in its Set: it is closed with the
// Set, and gives its part of a token's child process back.
type lease struct {
	set   *Set
	token token // zero for a backend that shares nothing
	inner func() error
	once  sync.Once
	err   error
}

// lend enters something opened. The caller holds mu, and has counted it as a user
// of its module.
func (s *Set) lend(t token, inner func() error) *lease {
	l := &lease{set: s, token: t, inner: inner}
	s.leases[l] = struct{}{}
	return l
}

func (l *lease) close() error {
	l.once.Do(func() {
		l.err = errors.Join(l.inner(), l.set.release(l))
	})
	return l.err
}

// key is a key of a Set.
type key struct {
	signer.Key
	lease *lease
}

// Close implements [signer.Key].
func (k *key) Close() error { return k.lease.close() }

// attestable is a key whose backend signs statements about it.
type attestable struct {
	*key
	attester Attester
}

var (
	_ signer.Key = (*attestable)(nil)
	_ Attester   = (*attestable)(nil)
)

// Attest implements [Attester].
func (k *attestable) Attest(ctx context.Context) (map[string][]byte, error) {
	return k.attester.Attest(ctx)
}

// opened returns a key as its users see it: an [Attester] if its backend is.
func opened(k signer.Key, l *lease) signer.Key {
	if a, ok := k.(Attester); ok {
		return &attestable{&key{k, l}, a}
	}
	return &key{k, l}
}

// logKey is the log's key in a Set.
type logKey struct {
	signer.LogKey
	lease *lease
}

// Close implements [signer.LogKey].
func (k *logKey) Close() error { return k.lease.close() }

// maker is a maker of a Set.
type maker struct {
	KeyMaker
	lease *lease
}

// Close implements [KeyMaker].
func (m *maker) Close() error { return m.lease.close() }
