package signer

import (
	"fmt"
	"time"
)

// maxWaitingPayloads is how many signatures may be owed by one key at once,
// whatever number of requests that is: what waits is in memory.
const maxWaitingPayloads = 200_000

// place is a request's place in the queue of a key.
type place struct {
	key      *managedKey
	uid      uint32
	payloads int
	left     bool
}

// reserve takes a place in the key's queue, before anything is made durable. One
// uid may have half of the places, so that it cannot keep all others out.
func (k *managedKey) reserve(uid uint32, payloads int) (*place, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	busy := func(format string, args ...any) error {
		return &Error{Kind: KindBusy, Retry: time.Second, Detail: fmt.Sprintf("key %q is busy: ", k.Name) + fmt.Sprintf(format, args...) + "; try again in a moment"}
	}
	switch {
	case k.waiting >= k.Queue:
		return nil, busy("%d requests wait for it already", k.waiting)
	case k.waitingOf[uid] >= max(k.Queue/2, 1):
		return nil, busy("%d requests of yours wait for it already", k.waitingOf[uid])
	case k.waiting > 0 && k.owed+payloads > maxWaitingPayloads:
		return nil, busy("it owes %d signatures already", k.owed)
	}
	return k.enter(uid, payloads), nil
}

// room reports whether a request that was accepted before may take a place now.
func (k *managedKey) room() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.waiting < k.Queue && k.owed < maxWaitingPayloads
}

// rejoin takes a place for a request that was accepted before a restart.
func (k *managedKey) rejoin(uid uint32, payloads int) *place {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.enter(uid, payloads)
}

func (k *managedKey) enter(uid uint32, payloads int) *place {
	k.waiting++
	k.waitingOf[uid]++
	k.owed += payloads
	return &place{key: k, uid: uid, payloads: payloads}
}

// leave gives the place back, if that was not done before.
func (p *place) leave() {
	p.key.mu.Lock()
	defer p.key.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	p.key.waiting--
	p.key.owed -= p.payloads
	if p.key.waitingOf[p.uid]--; p.key.waitingOf[p.uid] == 0 {
		delete(p.key.waitingOf, p.uid)
	}
}
