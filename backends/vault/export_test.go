package vault

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Logins returns how many tokens the key has had.
func (k *Key) Logins() int {
	k.sessions.mu.Lock()
	defer k.sessions.mu.Unlock()
	return k.sessions.logins
}

// Token returns the key's token.
func (k *Key) Token() string {
	k.sessions.mu.Lock()
	defer k.sessions.mu.Unlock()
	return k.sessions.current.client.Token()
}

// FakeClock gives the key a clock that can be set forward. It must be called before the
// key is used.
func (k *Key) FakeClock() (advance func(time.Duration)) {
	var ahead atomic.Int64
	k.sessions.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return func(d time.Duration) { ahead.Add(int64(d)) }
}

// FakeWait has the key not wait for a quota, and tells for how long it would have. It
// must be called before the key is used.
func (k *Key) FakeWait() (waited func() []time.Duration) {
	var mu sync.Mutex
	var all []time.Duration
	k.sessions.wait = func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, d)
		return ctx.Err()
	}
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// FakeDial has connections made in another way. It must be called before any is made.
func (e *engine) FakeDial(dial func(context.Context, string, string) (net.Conn, error)) {
	e.transport.base = e.transport.make(nil)
	e.transport.base.DialContext = dial
}
