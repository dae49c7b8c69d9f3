package gate_test

import (
	"testing"
	"testing/synctest"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
)

func TestCloseWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate.Gate
		if !g.Enter() || !g.Enter() {
			t.Fatal("an open gate lets nobody in")
		}
		closed := 0
		for range 2 {
			go func() { g.Close(); closed++ }()
		}
		synctest.Wait()
		if g.Enter() {
			t.Error("a closing gate let somebody in")
		}
		g.Leave()
		synctest.Wait()
		if closed != 0 {
			t.Error("closed with somebody inside")
		}
		g.Leave()
		synctest.Wait()
		if closed != 2 {
			t.Errorf("%d of 2 Close calls returned after the last one left", closed)
		}
		g.Close()
		if g.Enter() {
			t.Error("a closed gate let somebody in")
		}
	})
}
