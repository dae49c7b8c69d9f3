package signer

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/bundlesign/bundlesign/capgo"
)

// KeyConfig is a key as the configuration names it.
type KeyConfig struct {
	Name        string
	URI         string // for display: holds nothing secret
	Apps        []string
	Pin         *capgo.PublicKey // the only public key it may turn out to be
	Demand      CustodyLevel     // the least that it must prove
	Key         Key
	Concurrency int // uses of the key at once, at least 1
	Queue       int // requests that may wait for it
}

// KeyState is whether a key may be used.
type KeyState string

// The states of a key.
const (
	KeyUnchecked   KeyState = "unchecked"   // not yet looked at
	KeyOK          KeyState = "ok"          // equals its pin, proved its custody, signed a test
	KeyUnavailable KeyState = "unavailable" // its backend cannot be reached now
	KeyUnusable    KeyState = "unusable"    // an operator must change something
	KeyQuarantined KeyState = "quarantined" // it made a wrong signature
)

// KeyStatus is what is known of a key.
type KeyStatus struct {
	KeyConfig
	State   KeyState
	Detail  string   // why it is not ok
	Custody *Custody // as last proved; nil before
	Checked time.Time
	Waiting int // requests that wait for it or use it
}

// managedKey is a key with what the daemon knows about it.
type managedKey struct {
	KeyConfig
	slots *semaphore.Weighted
	log   *zap.Logger
	clock Clock
	// spawn runs fn in the background until the daemon stops, or not at all if it
	// is stopping; condemn takes the key out of use for good. Both are the core's.
	spawn   func(fn func(life context.Context)) bool
	condemn func(reason string)

	mu      sync.Mutex
	state   KeyState
	detail  string
	custody *Custody // as last proved
	checked time.Time
	under   *examination // under way, or nil

	waiting   int            // places taken
	waitingOf map[uint32]int // of these, by uid
	owed      int            // payloads of these
}

func newManagedKey(c KeyConfig, clock Clock, log *zap.Logger) *managedKey {
	c.Concurrency = max(c.Concurrency, 1)
	return &managedKey{
		KeyConfig: c,
		slots:     semaphore.NewWeighted(int64(c.Concurrency)),
		log:       log.With(zap.String("key", c.Name)),
		clock:     clock,
		state:     KeyUnchecked,
		waitingOf: make(map[uint32]int),
	}
}

func (k *managedKey) status() KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeyStatus{k.KeyConfig, k.state, k.detail, k.custody, k.checked, k.waiting}
}

// err is nil for a key that may be used, and otherwise what a requester is told.
func (st KeyStatus) err() error {
	switch st.State {
	case KeyOK:
		return nil
	case KeyUnavailable, KeyUnchecked:
		return &Error{Kind: KindKeyUnavailable, Detail: fmt.Sprintf("key %q cannot be reached: %s", st.Name, st.Detail), Retry: 2 * time.Second}
	}
	return &Error{Kind: KindKeyUnusable, Detail: fmt.Sprintf("key %q must not be used: %s", st.Name, st.Detail)}
}

// quarantined reports whether the key must not be used for anything.
func (k *managedKey) quarantined() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state == KeyQuarantined
}

// keyring finds keys by name and by the app they sign for.
type keyring struct {
	byName map[string]*managedKey
	byApp  map[string]*managedKey
}

func newKeyring(configs []KeyConfig, clock Clock, log *zap.Logger) (*keyring, error) {
	r := &keyring{make(map[string]*managedKey), make(map[string]*managedKey)}
	for _, c := range configs {
		if _, dup := r.byName[c.Name]; dup {
			return nil, fmt.Errorf("two keys are named %q", c.Name)
		}
		k := newManagedKey(c, clock, log)
		r.byName[c.Name] = k
		for _, app := range c.Apps {
			if other, dup := r.byApp[app]; dup {
				return nil, fmt.Errorf("app %q has two keys, %q and %q", app, other.Name, c.Name)
			}
			r.byApp[app] = k
		}
	}
	return r, nil
}

// sorted returns the keys by name.
func (r *keyring) sorted() []*managedKey {
	out := make([]*managedKey, 0, len(r.byName))
	for _, k := range r.byName {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
