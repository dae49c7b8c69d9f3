package signer

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Each denial is recorded, also of somebody who may have nothing signed at all.
// So that such a one cannot fill the disk, each uid has a share of its own.
const (
	denialsPerSecond = 1
	denialsBurst     = 100
	maxDenialShares  = 1024
)

// denials keeps each uid's denials to their share.
type denials struct {
	mu     sync.Mutex
	shares map[uint32]*rate.Limiter
}

// take uses one denial of a uid's share up, if there is one left.
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
