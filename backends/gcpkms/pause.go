package gcpkms

import (
	"context"
	"sync"
	"time"
)

const (
	// Bounds of a pause that the service did not give a length for.
	shortestPause = 250 * time.Millisecond
	longestPause  = 4 * time.Second
	// Bounds of one that it did. Quotas are by the minute at most.
	shortestAsked = 20 * time.Millisecond
	longestAsked  = time.Minute
)

// pause keeps every call of a key back while its quota is used up. The quota is
// the project's, so one call that is refused speaks for all.
type pause struct {
	mu    sync.Mutex
	until time.Time
	next  time.Duration // length of the next pause
}

// wait returns when there is no pause. If the pause leaves less than reserve before
// ctx's deadline, it returns a *fault at once: the caller is better told to come
// back than kept, and a call without time looks like a service that hangs.
func (p *pause) wait(ctx context.Context, reserve time.Duration) error {
	for {
		p.mu.Lock()
		until := p.until
		p.mu.Unlock()
		left := time.Until(until)
		if left <= 0 {
			return ctx.Err()
		}
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(until.Add(reserve)) {
			return overQuota(left)
		}
		if !sleep(ctx, left) {
			return ctx.Err()
		}
	}
}

// start begins a pause: of the length that the service asked for, or one that
// doubles each time.
func (p *pause) start(asked time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if asked <= 0 {
		p.next = max(p.next, shortestPause)
		asked = jitter(p.next)
		// Calls that are refused during a pause were sent before it.
		if now.After(p.until) {
			p.next = min(2*p.next, longestPause)
		}
	}
	asked = min(max(asked, shortestAsked), longestAsked)
	if end := now.Add(asked); end.After(p.until) {
		p.until = end
	}
}

// over notes that a call got through.
func (p *pause) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().After(p.until) {
		p.next = 0
	}
}
