package pkcs11

import (
	"sync/atomic"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

const (
	// firstOrder is how many payloads an order to a new child holds.
	firstOrder = 4
	// quickOrder and slowOrder are the times within which orders grow, and beyond
	// which they shrink. They are far below any sensible deadline, so that an
	// order's deadline keeps meaning that the token hangs, not that it is slow.
	quickOrder = 25 * time.Millisecond
	slowOrder  = 100 * time.Millisecond
)

// pace is how many payloads an order of a large batch holds: few to a slow token,
// many to a quick one, so that the two processes do not spend their time waking
// each other.
type pace struct{ size atomic.Int32 }

func (p *pace) order() int { return max(int(p.size.Load()), firstOrder) }

// took takes note that an order of n payloads took so long.
func (p *pace) took(n int, d time.Duration) {
	size := p.order()
	switch {
	case d > slowOrder:
		p.size.Store(int32(max(size/2, firstOrder)))
	case d < quickOrder && n == size:
		p.size.Store(int32(min(2*size, proto.MaxBatch)))
	}
}
