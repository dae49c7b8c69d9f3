package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/capgo"
)

// How often keys are looked at, and how long that may take.
const (
	checkEvery   = time.Minute            // a key that is ok
	recheckAfter = 500 * time.Millisecond // the least time between two looks at one that is not
	recheckEvery = 2 * time.Second        // one that is not, when nobody asks for it
	checkTimeout = 30 * time.Second
	patience     = 5 * time.Second // of a request that needs the outcome
)

// examination is a look at a key that is under way. There is one at a time, and
// everybody who needs the outcome waits for the same.
type examination struct{ done chan struct{} }

// usable returns nil if the key may be used now. A key that was not ok is looked
// at again, so that it heals with the first request after its backend came back.
func (k *managedKey) usable(ctx context.Context) error {
	st := k.status()
	stale := st.Checked.IsZero() || k.clock.Now().Sub(st.Checked) >= recheckAfter
	if st.State != KeyOK && st.State != KeyQuarantined && stale {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if k.examine(ctx) != nil && st.Detail == "" {
			st.Detail = "it does not answer"
			return st.err()
		}
		st = k.status()
	}
	return st.err()
}

// examine looks at the key, or joins a look that is under way. It fails only if
// ctx ends first: the look itself goes on, for the next who asks.
func (k *managedKey) examine(ctx context.Context) error {
	k.mu.Lock()
	e := k.under
	if e == nil {
		e = &examination{make(chan struct{})}
		started := k.spawn(func(life context.Context) {
			defer func() {
				k.mu.Lock()
				k.under = nil
				k.mu.Unlock()
				close(e.done)
			}()
			k.look(life)
		})
		if !started {
			k.mu.Unlock()
			return errStopping
		}
		k.under = e
	}
	k.mu.Unlock()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look proves the key and notes the outcome.
func (k *managedKey) look(life context.Context) {
	ctx, cancel := context.WithTimeout(life, checkTimeout)
	defer cancel()
	custody, err := k.prove(ctx)
	switch {
	case life.Err() != nil:
		// The daemon stops: that says nothing about the key.
	case err == nil:
		k.become(KeyOK, "", custody)
	case errors.Is(err, errWrongSignature):
		k.condemn(fmt.Sprintf("it made a wrong signature when it was checked: %v", err))
	case errors.Is(err, ErrKeyUnusable):
		k.become(KeyUnusable, err.Error(), nil)
	default:
		k.become(KeyUnavailable, err.Error(), nil)
	}
}

// prove asks the key for everything that is demanded of it: its public key is the
// pin, its custody meets the demand, and it really signs. What it signs is a
// session key that is drawn for it and forgotten, which is of no use to anybody.
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
		return nil, fmt.Errorf("%w: %d signatures for one payload", errWrongSignature, len(sigs))
	}
	if err := k.Pin.Verify(test, sigs[0]); err != nil {
		return nil, fmt.Errorf("%w: %w", errWrongSignature, err)
	}
	return &ev.Custody, nil
}

// become notes a state and says so if it is another than before. A quarantine
// is not ended by it.
func (k *managedKey) become(state KeyState, detail string, custody *Custody) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state == KeyQuarantined {
		return
	}
	before := k.state
	k.state, k.detail, k.checked = state, detail, k.clock.Now()
	if state == KeyOK {
		k.custody = custody
	}
	switch {
	case state == before:
	case state == KeyOK:
		k.log.Info("key is usable", zap.String("custody", string(custody.Level)), zap.String("backend", custody.Backend))
	default:
		k.log.Error("key cannot be used", zap.String("state", string(state)), zap.String("detail", detail))
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

// watch examines the key on a schedule until life ends.
func (k *managedKey) watch(life context.Context) {
	for {
		if k.examine(life) != nil {
			return
		}
		every := recheckEvery
		if k.status().State == KeyOK {
			every = checkEvery
		}
		select {
		case <-time.After(every):
		case <-life.Done():
			return
		}
	}
}
