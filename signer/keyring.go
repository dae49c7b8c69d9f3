package signer

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/bundlesign/bundlesign/capgo"
)

// KeyConfig is a key as the configuration names it.
type KeyConfig struct {
	Name string
	Apps []string
	// OnlyOnRequest: the key signs only for requests that name it, so that it can
	// stand beside another key of the same app.
	OnlyOnRequest bool
	Pin           *capgo.PublicKey // the only public key it may turn out to be
	Demand        CustodyLevel     // the least that it must prove
	// Replicas are the places where the private key is, at least one, the one to
	// be used if it can be first.
	Replicas    []Replica
	Concurrency int // uses of the key at once, at least 1
	Queue       int // requests that may wait for it
}

// KeyState is whether a key, or a replica of one, may be used.
type KeyState string

// The states of a key.
const (
	KeyUnchecked   KeyState = "unchecked"   // not yet looked at
	KeyOK          KeyState = "ok"          // equals its pin, proved its custody, signed a test
	KeyPaused      KeyState = "paused"      // well, but its backend asked to be left alone for a while: a quota
	KeyUnavailable KeyState = "unavailable" // its backend cannot be reached now
	KeyUnusable    KeyState = "unusable"    // an operator must change something
	KeyDisabled    KeyState = "disabled"    // an operator took it out of use
	KeyQuarantined KeyState = "quarantined" // it made a wrong signature
)

// KeyStatus is what is known of a key. It is as well as the best of its replicas.
type KeyStatus struct {
	KeyConfig
	State   KeyState
	Detail  string   // why it is not ok, or not in the first of its replicas
	Custody *Custody // as last proved by the replica in use; nil before
	Checked time.Time
	Waiting int // requests that wait for it or use it
	// At is what is known of each of its replicas, in the same order.
	At []ReplicaStatus

	retry time.Duration // when it may be better
}

// managedKey is a key with what the daemon knows about it.
type managedKey struct {
	KeyConfig
	replicas []*managedReplica
	slots    *semaphore.Weighted
	clock    Clock
	spawn    spawn
	// condemn takes the key out of use for good.
	condemn func(reason string)

	mu          sync.Mutex
	quarantined string        // why, or ""
	disabled    string        // why, or ""
	orders      int           // how often it was disabled
	changed     chan struct{} // closed, and replaced, when waiting for the key may be over
	stop        chan struct{} // closed while the key must not be used for anything

	waiting   int            // places taken
	waitingOf map[uint32]int // of these, by uid
	owed      int            // payloads of these
}

func newManagedKey(c KeyConfig, clock Clock, spawn spawn, log *zap.Logger) *managedKey {
	c.Concurrency = max(c.Concurrency, 1)
	k := &managedKey{
		KeyConfig: c,
		slots:     semaphore.NewWeighted(int64(c.Concurrency)),
		clock:     clock,
		spawn:     spawn,
		changed:   make(chan struct{}),
		stop:      make(chan struct{}),
		waitingOf: make(map[uint32]int),
	}
	for _, r := range c.Replicas {
		log := log.With(zap.String("key", c.Name), zap.String("uri", r.URI))
		k.replicas = append(k.replicas, &managedReplica{Replica: r, key: k, log: log, state: KeyUnchecked, worse: make(chan struct{}, 1)})
	}
	return k
}

// blocked returns why the key must not be used for anything, whatever its
// replicas are like, or nil.
func (k *managedKey) blocked() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.quarantined != "":
		return &Error{Kind: KindKeyUnusable, Detail: fmt.Sprintf("key %q is quarantined and must not be used: %s", k.Name, k.quarantined)}
	case k.disabled != "":
		return &Error{Kind: KindKeyUnusable, Detail: fmt.Sprintf("key %q is disabled: %s", k.Name, k.disabled)}
	}
	return nil
}

// quarantine takes the key out of use until it is released and the daemon started
// again. What is under way with it is broken off.
//
// It reports whether the key was not in quarantine before.
func (k *managedKey) quarantine(reason string) (first bool) {
	k.block(func() {
		if first = k.quarantined == ""; first {
			k.quarantined = reason
		}
	})
	return first
}

// disable takes the key out of use until it is enabled. What is under way with it
// is broken off.
func (k *managedKey) disable(reason string) {
	k.block(func() {
		k.disabled = reason
		k.orders++
	})
}

// enable lets the key be used again, after it has shown anew that it is well, unless
// it was disabled once more than that number of times.
func (k *managedKey) enable(orders int) {
	for _, r := range k.replicas {
		r.forget()
	}
	k.block(func() {
		if k.orders == orders {
			k.disabled = ""
		}
	})
	for _, r := range k.replicas {
		r.examine()
	}
}

func (k *managedKey) block(change func()) {
	k.mu.Lock()
	was := k.quarantined+k.disabled != ""
	change()
	switch is := k.quarantined+k.disabled != ""; {
	case is && !was:
		close(k.stop)
	case was && !is:
		k.stop = make(chan struct{})
	}
	k.mu.Unlock()
	k.healed()
}

// stopped returns a channel that is closed when the key must not be used.
func (k *managedKey) stopped() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stop
}

// disabledFor returns why the key is disabled, or "", and how often it was.
func (k *managedKey) disabledFor() (reason string, orders int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.disabled, k.orders
}

// healed wakes everybody who waits for the key.
func (k *managedKey) healed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.changed)
	k.changed = make(chan struct{})
}

// change returns a channel that is closed when it is worth looking again.
func (k *managedKey) change() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// status puts together what is known of the replicas.
func (k *managedKey) status() KeyStatus {
	st := KeyStatus{KeyConfig: k.KeyConfig}
	best := -1
	for i, r := range k.replicas {
		rs := r.status()
		if best < 0 || rank(rs.State) > rank(st.At[best].State) {
			best = i
		}
		st.At = append(st.At, rs)
	}
	in := &st.At[best]
	in.InUse = in.State == KeyOK
	st.State, st.Detail, st.Custody, st.Checked = in.State, in.Detail, in.Custody, in.Checked
	st.retry, _ = k.replicas[best].pausedFor()
	switch {
	case st.State == KeyOK && best > 0:
		st.Detail = fmt.Sprintf("%s is used, because %s is %s: %s", in.URI, st.At[0].URI, st.At[0].State, st.At[0].Detail)
	case st.State != KeyOK && len(k.replicas) > 1:
		st.Detail = ""
		for _, rs := range st.At {
			if st.Detail != "" {
				st.Detail += "; "
			}
			st.Detail += fmt.Sprintf("%s is %s: %s", rs.URI, rs.State, rs.Detail)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st.Waiting = k.waiting
	switch {
	case k.quarantined != "":
		st.State, st.Detail = KeyQuarantined, k.quarantined
	case k.disabled != "":
		st.State, st.Detail = KeyDisabled, k.disabled
	default:
		return st
	}
	for i := range st.At {
		st.At[i].InUse = false
	}
	return st
}

// rank orders the states of replicas from the worst.
func rank(s KeyState) int {
	switch s {
	case KeyOK:
		return 4
	case KeyPaused:
		return 3
	case KeyUnavailable:
		return 2
	case KeyUnchecked:
		return 1
	}
	return 0
}

// err is nil for a key that may be used, and otherwise what a requester is told.
func (st *KeyStatus) err() error {
	switch st.State {
	case KeyOK:
		return nil
	case KeyPaused:
		return &Error{Kind: KindKeyUnavailable, Detail: fmt.Sprintf("key %q has no quota left for now: %s", st.Name, st.Detail), Retry: max(st.retry, time.Second)}
	case KeyUnavailable, KeyUnchecked:
		return &Error{Kind: KindKeyUnavailable, Detail: fmt.Sprintf("key %q cannot be reached: %s", st.Name, st.Detail), Retry: max(st.retry, 2*time.Second)}
	}
	return &Error{Kind: KindKeyUnusable, Detail: fmt.Sprintf("key %q must not be used: %s", st.Name, st.Detail)}
}

// keyring finds keys by name and by the app they sign for.
type keyring struct {
	byName map[string]*managedKey
	byApp  map[string]*managedKey // the key of requests that name none
}

// find returns the key that a request is for: the named one if it signs for the
// app, or the one that signs for the app's requests that name none. It is nil if
// there is none.
func (r *keyring) find(app, name string) *managedKey {
	if name == "" {
		return r.byApp[app]
	}
	if k := r.byName[name]; k != nil && slices.Contains(k.Apps, app) {
		return k
	}
	return nil
}

func newKeyring(configs []KeyConfig, clock Clock, spawn spawn, log *zap.Logger) (*keyring, error) {
	r := &keyring{make(map[string]*managedKey), make(map[string]*managedKey)}
	for _, c := range configs {
		if _, dup := r.byName[c.Name]; dup {
			return nil, fmt.Errorf("two keys are named %q", c.Name)
		}
		if len(c.Replicas) == 0 {
			return nil, fmt.Errorf("key %q is nowhere: want at least one replica", c.Name)
		}
		k := newManagedKey(c, clock, spawn, log)
		r.byName[c.Name] = k
		if c.OnlyOnRequest {
			continue
		}
		for _, app := range c.Apps {
			if other, dup := r.byApp[app]; dup {
				return nil, fmt.Errorf("app %q has two keys, %q and %q, and requests need not name either: want only_on_request for one of them", app, other.Name, c.Name)
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
