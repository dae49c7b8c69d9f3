package signer_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Invariant 1, first half: no use of the key without a durable intent.
func TestKeyIsNotUsedIfTheIntentIsNotDurable(t *testing.T) {
	for _, cause := range []error{signer.ErrStoreFull, signer.ErrStoreBroken} {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.mustSubmit(submission(), bob) // the key is known to work
			uses := r.key.used()
			r.store.failWith(func(int) error { return cause })
			_, err := r.submit(submission(), alice, "")
			e := wantKind(t, err, signer.KindStore)
			if e.Retry == 0 {
				t.Error("no time to try again")
			}
			if r.key.used() != uses {
				t.Error("the key was used")
			}
			if st := r.core.Status(t.Context()); st.OK() {
				t.Error("the status says that all is well")
			}
			r.store.failWith(nil)
			if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
				t.Errorf("after the fault: %s", got.State)
			}
			if st := r.core.Status(t.Context()); !st.OK() {
				t.Errorf("after the fault the status says %+v", st.Parts)
			}
		})
	}
}

// Invariant 1, second half: no result leaves before its record is durable.
func TestResultIsHeldBackUntilItIsDurable(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		full := true
		var mu sync.Mutex
		r.store.failWith(func(n int) error { // the intent is written, the result is not
			mu.Lock()
			defer mu.Unlock()
			if n > 0 && full {
				return signer.ErrStoreFull
			}
			return nil
		})
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, err := r.core.Request(t.Context(), req.ID); err != nil || got.State != signer.Authorized || got.Result != nil {
			t.Errorf("got %+v, %v, want it authorized and without a result", got, err)
		}
		uses := r.key.used()
		mu.Lock()
		full = false
		mu.Unlock()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Signed {
			t.Fatalf("got %v, %v, want it signed once there is space", got, err)
		}
		if r.key.used() != uses {
			t.Error("the key was used again for a result that was only waiting")
		}
	})
}

// strand stops the daemon while a request is being signed.
func (r *rig) strand() *signer.Request {
	r.t.Helper()
	r.start()
	r.mustSubmit(submission(), bob)
	r.key.with(func(k *faultyKey) { k.block = make(chan struct{}) })
	req, err := r.core.Submit(r.t.Context(), submission(), alice, "")
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	r.stop()
	r.key.with(func(k *faultyKey) { k.block = nil })
	return req
}

func TestAuthorizedRequestIsFinishedAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		req := r.strand()
		// The policy in force now would deny it: the decision was spent before.
		r.config.Policy = rules(t)
		r.start()
		synctest.Wait()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Signed {
			t.Fatalf("got %+v, %v, want it signed", got, err)
		}
		if n := len(r.leaves(audit.LeafSigned)); n != 2 {
			t.Errorf("the log has %d signatures, want 2", n)
		}
	})
}

func TestAuthorizedRequestFailsIfItsKeyIsNoLongerTheSame(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		req := r.strand()
		r.key.with(func(k *faultyKey) { k.private = otherTestKey() })
		r.config.Keys[0].Pin = publicKey(t, otherTestKey())
		r.start()
		synctest.Wait()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Failed || !strings.Contains(got.Reason, "no longer signs for") {
			t.Fatalf("got %+v, %v, want it failed with the reason", got, err)
		}
	})
}

// A request can be cancelled before the daemon has taken it up again.
func TestCancelledBeforeItIsTakenUpAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		req := r.strand()
		uses := r.key.used()
		r.open()
		r.store.failWith(func(n int) error {
			if n == 0 { // the entry of the start, without which nothing is taken up
				return signer.ErrStoreFull
			}
			return nil
		})
		if err := r.core.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := r.core.Cancel(t.Context(), req.ID, alice); err != nil || got.State != signer.Cancelled {
			t.Fatalf("got %+v, %v, want it cancelled", got, err)
		}
		time.Sleep(10 * time.Second)
		if r.key.used() != uses {
			t.Error("the key was used for a request that is cancelled")
		}
		if err := r.core.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// What waits for a disabled key fails at the next start, also if the same key is
// there under another name.
func TestAuthorizedRequestOfADisabledKeyFailsAtTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		req := r.strand()
		other := r.config.Keys[0]
		other.Name, other.OnlyOnRequest = "a-second-name", true
		r.config.Keys = append(r.config.Keys, other)
		r.open()
		if err := r.store.Update(t.Context(), func(tx signer.Tx) error { return tx.DisableKey("acme", "stolen") }); err != nil {
			t.Fatal(err)
		}
		if err := r.core.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Failed || !strings.Contains(got.Reason, "is disabled: stolen") {
			t.Fatalf("got %+v, %v, want it failed with the reason", got, err)
		}
	})
}

func TestCloseFinishesWhatWasBegun(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		block := make(chan struct{})
		r.key.with(func(k *faultyKey) { k.block = block })
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- r.core.Close(t.Context()) }()
		synctest.Wait()
		_, err = r.core.Submit(t.Context(), submission(), policy.Identity{UID: 5, User: "bob"}, "")
		wantKind(t, err, signer.KindStopping)
		close(block)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if got, err := r.core.Request(t.Context(), req.ID); err != nil || got.State != signer.Signed {
			t.Errorf("got %+v, %v, want it signed before the stop", got, err)
		}
	})
}

func TestClockSetBackStopsSigning(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		uses := r.key.used()
		r.clock.move(-time.Hour)
		_, err := r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindClock)
		if r.key.used() != uses {
			t.Error("the key was used")
		}
		if st := r.core.Status(t.Context()); st.OK() {
			t.Error("the status says that all is well")
		}
		r.stop()
		r.start() // also a start writes nothing with such a clock
		_, err = r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindStore)
		r.clock.move(time.Hour)
		time.Sleep(2 * time.Second)
		if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
			t.Errorf("after the clock was set right: %s", got.State)
		}
	})
}

func TestStartIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		got := r.leaves(audit.LeafStarted)
		if len(got) != 1 || got[0].Policy != r.config.Policy.Hash() || got[0].Daemon != "test" || !strings.Contains(fmt.Sprint(got[0].Keys), publicKey(t, testKey()).Fingerprint()) {
			t.Errorf("got %+v, want one entry with version, policy and keys", got)
		}
	})
}
