package signer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/capgo"
)

// Replica is one place where a private key is: a second token, region or server
// has the same key.
type Replica struct {
	URI string // for display: holds nothing secret
	Key Key
}

// ReplicaStatus is what is known of a replica.
type ReplicaStatus struct {
	URI     string
	State   KeyState
	Detail  string   // why it is not ok
	Custody *Custody // as last proved; nil before
	Checked time.Time
	InUse   bool // the next signature is asked for here
}

// How often replicas are looked at, and how long that may take.
const (
	checkEvery   = time.Minute            // one that is ok
	recheckAfter = 500 * time.Millisecond // the least time between two looks at one that is not
	recheckEvery = time.Second            // one that is not, when nobody asks for it
	recheckMost  = time.Minute            // one that fails again and again while another does the work
	checkTimeout = 30 * time.Second
	longestPause = time.Minute // that a backend can ask for
)

// managedReplica is a replica with what the daemon knows about it, and its circuit
// breaker. A replica that is ok is given work. One failure opens the breaker: it is
// given none, but looked at, by one at a time and not more often than every
// recheckAfter, until it has shown that it is well: its public key is the pin, it
// proves its custody and makes a signature that verifies.
type managedReplica struct {
	Replica
	key *managedKey
	log *zap.Logger
	// worse has a token when the replica is not ok any more, for the watch, which would
	// else sleep until the next look at one that is ok is due.
	worse chan struct{}

	mu      sync.Mutex
	state   KeyState
	detail  string
	custody *Custody // as last proved
	checked time.Time
	looked  time.Time     // when the newest look began
	since   time.Time     // when it last became ok
	hold    time.Duration // how long it is left alone after it failed in use
	paused  time.Time     // until then it must not be asked: its backend said so
	why     string        // it is paused
	under   *examination  // under way, or nil
}

// examination is a look at a replica that is under way. There is one at a time, and
// everybody who needs the outcome waits for the same.
type examination struct{ done chan struct{} }

func (r *managedReplica) status() ReplicaStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := ReplicaStatus{URI: r.URI, State: r.state, Detail: r.detail, Custody: r.custody, Checked: r.checked}
	if st.State == KeyOK && r.pause() > 0 {
		st.State, st.Detail = KeyPaused, r.why
	}
	return st
}

// pause returns how long the replica must be left alone. The caller holds mu.
func (r *managedReplica) pause() time.Duration {
	return max(r.paused.Sub(r.key.clock.Now()), 0)
}

// pausedFor returns how long the replica must be left alone, and why.
func (r *managedReplica) pausedFor() (time.Duration, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pause(), r.why
}

// ready reports whether the replica can be given work now.
func (r *managedReplica) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == KeyOK && r.pause() == 0
}

// forget makes a replica that was well show it again before it is used: what was
// proved is from before an operator changed something.
func (r *managedReplica) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == KeyOK {
		r.state = KeyUnchecked
	}
}

// nextLook returns how long a caller who needs the replica has to wait until it may
// be looked at: less than recheckAfter. It may not be at all while its backend
// wants to be left alone.
func (r *managedReplica) nextLook() (wait time.Duration, may bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pause() > 0 {
		return 0, false
	}
	if r.looked.IsZero() || r.under != nil {
		return 0, true
	}
	since := max(r.key.clock.Now().Sub(r.looked), 0)
	return max(recheckAfter-since-1, 0), true
}

// examine begins a look at the replica, or joins the one that is under way. The
// channel is closed when it has ended; it is nil if the key must not be used, or
// the daemon is stopping.
func (r *managedReplica) examine() <-chan struct{} {
	if r.key.blocked() != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.under != nil {
		return r.under.done
	}
	e := &examination{make(chan struct{})}
	started := r.key.spawn(func(life context.Context) {
		defer func() {
			r.mu.Lock()
			r.under = nil
			r.mu.Unlock()
			close(e.done)
		}()
		r.look(life)
	})
	if !started {
		return nil
	}
	r.looked = r.key.clock.Now()
	r.under = e
	return e.done
}

// look proves the replica and notes the outcome.
func (r *managedReplica) look(life context.Context) {
	ctx, cancel := context.WithTimeout(life, checkTimeout)
	defer cancel()
	custody, err := r.prove(ctx)
	switch {
	case errors.Is(err, errWrongSignature):
		r.key.condemn(fmt.Sprintf("it made a wrong signature when it was checked: %v", err))
	case life.Err() != nil, r.key.blocked() != nil:
		// The daemon stops, or an operator stopped the key: that says nothing
		// about the replica.
	case err == nil:
		r.become(KeyOK, "", custody)
	default:
		r.fail(err)
	}
}

// prove asks for everything that is demanded of the key: its public key is the
// pin, its custody meets the demand, and it really signs. What it signs is a
// session key that is drawn for it and forgotten, which is of no use to anybody.
func (r *managedReplica) prove(ctx context.Context) (*Custody, error) {
	pin, demand := r.key.Pin, r.key.Demand
	ev, err := r.Key.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if !ev.PublicKey.Equal(pin) {
		return nil, fmt.Errorf("%w: its public key is %s, but the configuration pins %s; correct uri or public_key", ErrKeyUnusable, ev.PublicKey.Fingerprint(), pin.Fingerprint())
	}
	if ev.Custody.Level.Rank() < demand.Rank() || demand.Rank() < 0 {
		return nil, fmt.Errorf("%w: it proved custody %q, but the configuration demands %q", ErrKeyUnusable, ev.Custody.Level, demand)
	}
	if err := r.key.blocked(); err != nil {
		return nil, err // since this look began
	}
	test := capgo.SessionKeyPayload()
	sigs, err := r.Key.Sign(ctx, []capgo.Payload{test})
	if err != nil {
		return nil, err
	}
	if len(sigs) != 1 {
		return nil, fmt.Errorf("%w: %d signatures for one payload", errWrongSignature, len(sigs))
	}
	if err := pin.Verify(test, sigs[0]); err != nil {
		return nil, fmt.Errorf("%w: %w", errWrongSignature, err)
	}
	return &ev.Custody, nil
}

// fell notes that the replica failed while it was in use. If that happens again
// soon after it was found well, it is left alone for longer each time, as long as
// there is another to do the work.
func (r *managedReplica) fell(err error) {
	r.fail(err)
	defer r.alert() // after the rest has its length
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == KeyOK {
		return // paused
	}
	if now := r.key.clock.Now(); now.Sub(r.since) > recheckMost {
		r.hold = recheckEvery
	} else {
		r.hold = min(2*max(r.hold, recheckEvery), recheckMost)
	}
}

// fail notes a failure. A backend that says when to come back is left alone until
// then. It is well, and nothing else is the matter, unless it says too that somebody
// must change something.
func (r *managedReplica) fail(err error) {
	state := KeyUnavailable
	if errors.Is(err, ErrKeyUnusable) {
		state = KeyUnusable
	}
	if wait := retryAfter(err); wait > 0 && r.leave(wait, err.Error()) && state != KeyUnusable {
		return
	}
	r.become(state, err.Error(), nil)
}

// leave has the replica left alone for a while. It reports whether it was known to be
// well or not before.
func (r *managedReplica) leave(wait time.Duration, why string) (known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused, r.why = r.key.clock.Now().Add(min(wait, longestPause)), why
	return r.state != KeyUnchecked
}

// retryAfter returns when the error says that its call is worth another try, or 0.
func retryAfter(err error) time.Duration {
	var knows interface{ RetryAfter() time.Duration }
	if errors.As(err, &knows) {
		return max(knows.RetryAfter(), 0)
	}
	return 0
}

// become notes a state and says so if it is another than before.
func (r *managedReplica) become(state KeyState, detail string, custody *Custody) {
	r.mu.Lock()
	before := r.state
	r.state, r.detail, r.checked = state, detail, r.key.clock.Now()
	if state == KeyOK {
		r.custody = custody
		if before != KeyOK {
			r.since = r.checked
		}
	}
	r.mu.Unlock()
	if before == KeyOK && state != KeyOK {
		r.alert()
	}
	switch {
	case state == before:
	case state == KeyOK:
		r.log.Info("key is usable", zap.String("custody", string(custody.Level)), zap.String("backend", custody.Backend))
		r.key.healed()
	default:
		r.log.Error("key cannot be used", zap.String("state", string(state)), zap.String("detail", detail))
	}
}

// alert has the watch think again how long it rests.
func (r *managedReplica) alert() {
	select {
	case r.worse <- struct{}{}:
	default:
	}
}

// watch looks at the replica on a schedule until life ends.
func (r *managedReplica) watch(life context.Context) {
	for {
		if pause, _ := r.pausedFor(); pause == 0 {
			if done := r.examine(); done != nil {
				select {
				case <-done:
				case <-life.Done():
				}
			}
		}
		for rested := false; !rested; {
			select {
			case <-time.After(r.rest()):
				rested = true
			case <-r.worse: // the rest is shorter now
			case <-life.Done():
				return
			}
		}
	}
}

// rest is how long the replica is left alone when nobody asks for it.
func (r *managedReplica) rest() time.Duration {
	substitute := r.key.others(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.state == KeyOK:
		return checkEvery
	case substitute:
		return max(r.hold, recheckEvery)
	}
	return recheckEvery
}
