package gate_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
)

func TestCloseWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate.Gate
		for range 2 {
			if !g.Enter() {
				t.Fatal("an open gate lets nobody in")
			}
		}
		var closed atomic.Int32
		for range 2 {
			go func() { g.Close(); closed.Add(1) }()
		}
		synctest.Wait()
		if g.Enter() {
			t.Error("a closing gate let somebody in")
		}
		g.Leave()
		synctest.Wait()
		if closed.Load() != 0 {
			t.Error("closed with somebody inside")
		}
		g.Leave()
		synctest.Wait()
		if closed.Load() != 2 {
			t.Errorf("%d of 2 Close calls returned after the last one left", closed.Load())
		}
		g.Close()
		if g.Enter() {
			t.Error("a closed gate let somebody in")
		}
	})
}
