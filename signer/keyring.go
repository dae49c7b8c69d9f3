package signer

import (
	"context"
	"errors"
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

// How often keys are looked at.
const (
	checkEvery   = time.Minute            // a key that is ok
	recheckAfter = 500 * time.Millisecond // the least time between two looks at one that is not
	recheckEvery = 2 * time.Second        // one that is not, when nobody asks for it
	checkTimeout = 30 * time.Second
)

// managedKey is a key with what the daemon knows about it.
type managedKey struct {
	KeyConfig
	slots *semaphore.Weighted
	log   *zap.Logger
	clock Clock

	check chan struct{} // holds one token: one check at a time

	mu      sync.Mutex
	state   KeyState
	detail  string
	custody *Custody
	checked time.Time
	waiting int
}

func newManagedKey(c KeyConfig, clock Clock, log *zap.Logger) *managedKey {
	c.Concurrency = max(c.Concurrency, 1)
	return &managedKey{
		KeyConfig: c,
		slots:     semaphore.NewWeighted(int64(c.Concurrency)),
		log:       log.With(zap.String("key", c.Name)),
		clock:     clock,
		check:     make(chan struct{}, 1),
		state:     KeyUnchecked,
	}
}

func (k *managedKey) status() KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeyStatus{k.KeyConfig, k.state, k.detail, k.custody, k.checked, k.waiting}
}

// reserve takes a place in the key's queue, before anything is made durable.
func (k *managedKey) reserve() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting >= k.Queue {
		return &Error{
			Kind: KindBusy, Retry: time.Second,
			Detail: fmt.Sprintf("key %q is busy: %d requests wait for it already; try again in a moment", k.Name, k.waiting),
		}
	}
	k.waiting++
	return nil
}

// rejoin takes a place for a request that was accepted before a restart.
func (k *managedKey) rejoin() {
	k.mu.Lock()
	k.waiting++
	k.mu.Unlock()
}

func (k *managedKey) leave() {
	k.mu.Lock()
	k.waiting--
	k.mu.Unlock()
}

// usable returns nil if the key may be used now. A key that was not ok is looked
// at again, so that it heals with the first request after its backend came back.
func (k *managedKey) usable(ctx context.Context) error {
	st := k.status()
	stale := st.Checked.IsZero() || k.clock.Now().Sub(st.Checked) >= recheckAfter
	if st.State != KeyOK && st.State != KeyQuarantined && stale {
		if err := k.examine(ctx); err != nil {
			return err
		}
		st = k.status()
	}
	return st.err()
}

func (st KeyStatus) err() error {
	switch st.State {
	case KeyOK:
		return nil
	case KeyUnavailable, KeyUnchecked:
		return &Error{Kind: KindKeyUnavailable, Detail: fmt.Sprintf("key %q cannot be reached: %s", st.Name, st.Detail), Retry: 2 * time.Second}
	}
	return &Error{Kind: KindKeyUnusable, Detail: fmt.Sprintf("key %q must not be used: %s", st.Name, st.Detail)}
}

// examine looks at the key: its public key is the pin, its custody meets the
// demand, and it really signs. What it signs is a session key that is drawn for
// it and forgotten, which is of no use to anybody. It fails only if ctx ends.
func (k *managedKey) examine(ctx context.Context) error {
	select {
	case k.check <- struct{}{}:
		defer func() { <-k.check }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	custody, err := k.prove(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state == KeyQuarantined {
		return nil
	}
	before := k.state
	k.checked = k.clock.Now()
	switch {
	case err == nil:
		k.state, k.detail, k.custody = KeyOK, "", custody
	case errors.Is(err, ErrKeyUnusable):
		k.state, k.detail = KeyUnusable, err.Error()
	default:
		k.state, k.detail = KeyUnavailable, err.Error()
	}
	if k.state != before {
		if k.state == KeyOK {
			k.log.Info("key is usable", zap.String("custody", string(custody.Level)), zap.String("backend", custody.Backend))
		} else {
			k.log.Error("key cannot be used", zap.String("state", string(k.state)), zap.String("detail", k.detail))
		}
	}
	return nil
}

func (k *managedKey) prove(ctx context.Context) (*Custody, error) {
	ev, err := k.Key.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if !ev.PublicKey.Equal(k.Pin) {
		return nil, fmt.Errorf("%w: its public key is %s, but the configuration pins %s; correct uri or public_key", ErrKeyUnusable, ev.PublicKey.Fingerprint(), k.Pin.Fingerprint())
	}
	if ev.Custody.Level.Rank() < k.Demand.Rank() || k.Demand.Rank() < 0 {
		return nil, fmt.Errorf("%w: it proved custody %q, but the configuration demands %q", ErrKeyUnusable, ev.Custody.Level, k.Demand)
	}
	test := capgo.SessionKeyPayload()
	sigs, err := k.Key.Sign(ctx, []capgo.Payload{test})
	if err != nil {
		return nil, err
	}
	if len(sigs) != 1 {
		return nil, fmt.Errorf("%w: it answered a test with %d signatures, want 1", ErrKeyUnusable, len(sigs))
	}
	if err := k.Pin.Verify(test, sigs[0]); err != nil {
		return nil, fmt.Errorf("%w: a test signature is wrong: %w", ErrKeyUnusable, err)
	}
	return &ev.Custody, nil
}

func (k *managedKey) set(state KeyState, detail string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state != KeyQuarantined {
		k.state, k.detail, k.checked = state, detail, k.clock.Now()
	}
}

// proven returns the custody that goes with what the key signs now.
func (k *managedKey) proven() (Custody, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.custody == nil {
		return Custody{}, false
	}
	return *k.custody, true
}

// watch examines the key on a schedule until ctx ends.
func (k *managedKey) watch(ctx context.Context) {
	for {
		if k.examine(ctx) != nil {
			return
		}
		every := recheckEvery
		if k.status().State == KeyOK {
			every = checkEvery
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
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
