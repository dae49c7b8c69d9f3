package gcpkms

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A pause that the service gave no length for doubles while calls are refused, and
// starts small again once one got through.
func TestPauseDoubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pause
		for range 2 {
			for _, want := range []time.Duration{250, 500, 1000, 2000, 4000, 4000} {
				want *= time.Millisecond
				p.start(0)
				p.start(0) // a call that was sent before the pause
				began := time.Now()
				if err := p.wait(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				// Jitter is a quarter either way; the second refusal may have drawn a
				// longer one.
				if took := time.Since(began); took < want*3/4 || took > max(want*5/4, 2*want*5/4) {
					t.Errorf("paused for %s, want about %s", took, want)
				}
				<-time.After(time.Millisecond) // of the synthetic clock
			}
			p.over()
		}
	})
}

// Whoever would have no time left after a pause is told at once when it ends.
func TestPauseIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pause
		p.start(30 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		err := p.wait(ctx, time.Second)
		f, ok := err.(*fault)
		if !ok || !f.wait || f.RetryAfter() != 30*time.Second || time.Since(began) != 0 {
			t.Errorf("error %v after %s, want one at once that says to come back in 30s", err, time.Since(began))
		}
		if err := p.wait(t.Context(), time.Second); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("waited %s, error %v, want 30s", time.Since(began), err)
		}
	})
}
