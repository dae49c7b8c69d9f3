package pkcs11

import (
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

func TestOrdersFollowTheToken(t *testing.T) {
	var p pace
	if got := p.order(); got != firstOrder {
		t.Fatalf("a new child's order holds %d payloads, want %d", got, firstOrder)
	}
	p.took(1, time.Millisecond)
	if got := p.order(); got != firstOrder {
		t.Errorf("after an order that was not full: %d, want %d: it says nothing of full ones", got, firstOrder)
	}
	for range 10 {
		p.took(p.order(), time.Millisecond)
	}
	if got := p.order(); got != proto.MaxBatch {
		t.Errorf("a quick token's order holds %d payloads, want %d", got, proto.MaxBatch)
	}
	p.took(p.order(), 50*time.Millisecond)
	if got := p.order(); got != proto.MaxBatch {
		t.Errorf("after an order that was neither quick nor slow: %d, want no change", got)
	}
	p.took(p.order(), time.Second)
	if got := p.order(); got != proto.MaxBatch/2 {
		t.Errorf("after a slow order: %d payloads, want half", got)
	}
	for range 10 {
		p.took(1, time.Second)
	}
	if got := p.order(); got != firstOrder {
		t.Errorf("a slow token's order holds %d payloads, want %d", got, firstOrder)
	}
}
