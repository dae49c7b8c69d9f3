package signer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

var root = policy.Identity{UID: 0, User: "root"}

// A key that one operator enables while another disables it is disabled in the
// end, in the daemon as in its state.
func TestEnablingDoesNotUndoALaterDisabling(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		if err := r.core.DisableKey(t.Context(), "acme", "first", root); err != nil {
			t.Fatal(err)
		}
		r.store.afterCommit(func() {
			if err := r.core.DisableKey(t.Context(), "acme", "second", root); err != nil {
				t.Error(err)
			}
		})
		if err := r.core.EnableKey(t.Context(), "acme", "go", root); err != nil {
			t.Fatal(err)
		}
		_, err := r.submit(release(1), alice, "")
		if e := wantKind(t, err, signer.KindKeyUnusable); !strings.Contains(e.Detail, "second") {
			t.Errorf("got %q, want the newest reason", e.Detail)
		}
	})
}

// What a key proved before it was disabled is of no use afterwards.
func TestEnabledKeyIsLookedAtBeforeItIsUsed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		uses := r.key.used()
		if err := r.core.DisableKey(t.Context(), "acme", "the token is replaced", root); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.key.with(func(k *faultyKey) { k.custody = signer.Software })
		if err := r.core.EnableKey(t.Context(), "acme", "replaced", root); err != nil {
			t.Fatal(err)
		}
		_, err := r.submit(release(1), alice, "")
		wantKind(t, err, signer.KindKeyUnusable)
		if r.key.used() != uses {
			t.Error("the key was used")
		}
	})
}

// A look that is under way does not use a key that is disabled meanwhile.
func TestDisablingStopsALookThatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.key.fault = func() error { <-gate; return nil }
		r.start()
		synctest.Wait()
		if err := r.core.DisableKey(t.Context(), "acme", "stop", root); err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if n := r.key.checked.Load(); n != 0 {
			t.Errorf("the key made %d signatures after it was disabled", n)
		}
	})
}

// The log does not call a check done that found a wrong signature, or that was
// broken off.
func TestCheckThatFailsIsLoggedAsFailed(t *testing.T) {
	last := func(t *testing.T, r *rig, want string) {
		t.Helper()
		leaves := r.leaves(audit.LeafKey)
		if l := leaves[len(leaves)-1]; l.Operation.Phase != audit.OperationFailed || !strings.Contains(l.Reason, want) {
			t.Errorf("the log says %s: %q, want failed: %q", l.Operation.Phase, l.Reason, want)
		}
	}
	t.Run("wrong signature", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.mustSubmit(submission(), bob)
			r.key.with(func(k *faultyKey) { k.spoilCheck = true })
			if st, err := r.core.CheckKey(t.Context(), "acme", root); err != nil || st.State != signer.KeyQuarantined {
				t.Errorf("got %s, %v", st.State, err)
			}
			last(t, r, "wrong signature")
		})
	})
	t.Run("the operator goes away", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.mustSubmit(submission(), bob)
			r.key.with(func(k *faultyKey) { k.hang = true })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.core.CheckKey(ctx, "acme", root); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			last(t, r, "deadline exceeded")
		})
	})
	t.Run("disabled before it began", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.mustSubmit(submission(), bob)
			r.store.afterCommit(func() {
				if err := r.core.DisableKey(t.Context(), "acme", "stop", root); err != nil {
					t.Error(err)
				}
			})
			_, err := r.core.CheckKey(t.Context(), "acme", root)
			wantKind(t, err, signer.KindKeyUnusable)
			last(t, r, "is disabled: stop")
		})
	})
}

// Progress may be asked for at any moment. The race detector judges.
func TestProgressBesideTheBeginningOfTheWork(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		var asking sync.WaitGroup
		r.store.afterCommit(func() {
			id := r.requests()[0].ID
			for range 8 {
				asking.Go(func() { r.core.Progress(id) })
			}
			time.Sleep(time.Nanosecond) // they ask before the work begins
		})
		r.mustSubmit(release(1), alice)
		asking.Wait()
	})
}
