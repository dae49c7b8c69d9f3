package signer

import (
	"context"
	"time"
)

// patience is how long a request that needs a key waits to hear whether it can be
// used.
const patience = 5 * time.Second

// choose returns the replica that is to be given work now: the first in the order
// of the configuration that is well, so that the one that is preferred is used
// again as soon as it is. If none is well, those that may be looked at are, and
// the first to be found well is taken: a key heals with the first request after
// its backend came back. The error is an [*Error].
func (k *managedKey) choose(ctx context.Context) (*managedReplica, error) {
	if err := k.blocked(); err != nil {
		return nil, err
	}
	if r := k.ready(); r != nil {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changed := k.change()
	for _, done := range k.lookAround(ctx, changed) {
		select {
		case <-done:
		case <-changed: // one is well, without waiting for the others
		case <-ctx.Done():
		}
		if r := k.ready(); r != nil {
			return r, k.blocked()
		}
	}
	if err := k.blocked(); err != nil {
		return nil, err
	}
	st := k.status()
	if st.State == KeyOK {
		// It was found well just now, between two looks.
		if r := k.ready(); r != nil {
			return r, nil
		}
		st.State = KeyUnavailable
	}
	if st.Detail == "" {
		st.Detail = "it does not answer"
	}
	return nil, st.err()
}

// ready returns the first replica that can be given work, or nil.
func (k *managedKey) ready() *managedReplica {
	for _, r := range k.replicas {
		if r.ready() {
			return r
		}
	}
	return nil
}

// pause returns how long no replica must be asked, because each backend that is
// well said so, or 0.
func (k *managedKey) pause() time.Duration {
	var least time.Duration
	for _, r := range k.replicas {
		if p, _ := r.pausedFor(); p > 0 && (least == 0 || p < least) {
			least = p
		}
	}
	return least
}

// others reports whether a replica other than r can be given work.
func (k *managedKey) others(r *managedReplica) bool {
	for _, other := range k.replicas {
		if other != r && other.ready() {
			return true
		}
	}
	return false
}

// lookAround has the replicas looked at, side by side. If each was looked at a
// moment ago it waits until one may be again, so that a request is never refused
// for what was so before it came.
func (k *managedKey) lookAround(ctx context.Context, changed <-chan struct{}) []<-chan struct{} {
	var looks []<-chan struct{}
	soonest := recheckAfter
	for _, r := range k.replicas {
		wait, may := r.nextLook()
		if !may {
			continue
		}
		if wait > 0 {
			soonest = min(soonest, wait)
			continue
		}
		if done := r.examine(); done != nil {
			looks = append(looks, done)
		}
	}
	if len(looks) > 0 || soonest == recheckAfter {
		return looks
	}
	select {
	case <-time.After(soonest):
		return k.lookAround(ctx, changed)
	case <-changed:
	case <-ctx.Done():
	}
	return nil
}

// usable returns nil if the key may be used now.
func (k *managedKey) usable(ctx context.Context) error {
	_, err := k.choose(ctx)
	return err
}
