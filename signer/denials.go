package signer

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Each denial is recorded, also of somebody who may have nothing signed at all, and
// so is each request that waits for approvals, also if it is taken back at once. So
// that nobody can fill the disk that way, each uid has a share of its own of either.
const (
	denialsPerSecond = 1
	denialsBurst     = 100
	maxDenialShares  = 1024
)

// denials keeps each uid's denials, or what waits for approvals, to their share.
type denials struct {
	mu     sync.Mutex
	shares map[uint32]*rate.Limiter
}

// take uses one of a uid's share up, if there is one left.
func (d *denials) take(uid uint32, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	share := d.shares[uid]
	if share == nil {
		if d.shares == nil || len(d.shares) >= maxDenialShares {
			d.shares = make(map[uint32]*rate.Limiter)
		}
		share = rate.NewLimiter(denialsPerSecond, denialsBurst)
		d.shares[uid] = share
	}
	return share.AllowN(now, 1)
}
