package signer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Each of these was a way to break an invariant, found by attacking the core.

// A policy that changes between the first look at a request and its transaction
// must not leave it authorized with nobody to sign it.
func TestReloadsDuringSubmissionsStrandNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		open, shut := r.config.Policy, rules(t)
		r.start()
		r.mustSubmit(submission(), bob)
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				sub := submission()
				sub.Version = fmt.Sprintf("1.0.%d", i)
				_, err := r.submit(sub, alice, "")
				var e *signer.Error
				if err != nil && (!errors.As(err, &e) || e.Kind != signer.KindDenied && e.Kind != signer.KindBusy) {
					t.Error(err)
				}
			})
			p := open
			if i%2 == 0 {
				p = shut
			}
			if err := r.core.SetPolicy(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		for _, req := range r.requests() {
			if !req.State.Final() {
				t.Errorf("request %s is %s, and nobody signs it", req.ID, req.State)
			}
		}
	})
}

// What was denied for lack of a group is allowed once the group is there, also
// under the same policy.
func TestDenialDoesNotStickToTheRequester(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy = rules(t, policy.Rule{Name: "release", Groups: []policy.Glob{"release"}, Effect: policy.Allow})
		r.start()
		_, err := r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindDenied)
		member := alice
		member.Groups = []string{"release"}
		if got := r.mustSubmit(submission(), member); got.State != signer.Signed {
			t.Errorf("with the group: %s", got.State)
		}
	})
}

// A reload whose log entry failed decides nothing.
func TestReloadThatCouldNotBeLoggedIsNotInForce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy = rules(t)
		r.start()
		r.store.failWith(func(int) error { return signer.ErrStoreFull })
		err := r.core.SetPolicy(t.Context(), rules(t, policy.Rule{Name: "all", Effect: policy.Allow}))
		wantKind(t, err, signer.KindStore)
		r.store.failWith(nil)
		_, err = r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindDenied)
	})
}

// A wrong signature counts also while the daemon stops, and also in a check.
func TestWrongSignatureCountsWheneverItIsMade(t *testing.T) {
	quarantined := func(t *testing.T, r *rig) {
		t.Helper()
		got, err := r.store.Quarantined(t.Context())
		if err != nil || !strings.Contains(got["acme"], "wrong signature") {
			t.Errorf("quarantine is %v, %v, want the key in it", got, err)
		}
		if n := len(r.leaves(audit.LeafQuarantined)); n != 1 {
			t.Errorf("the log has %d quarantines, want 1", n)
		}
	}
	t.Run("while stopping", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.mustSubmit(submission(), bob)
			r.key.with(func(k *faultyKey) {
				k.deaf = make(chan struct{})
				k.spoil = func(s []capgo.Signature) []capgo.Signature { s[0][9] ^= 1; return s }
			})
			if _, err := r.core.Submit(t.Context(), submission(), alice, ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			closed := make(chan struct{})
			go func() { _ = r.core.Close(ctx); close(closed) }()
			synctest.Wait()
			close(r.key.deaf)
			<-closed
			quarantined(t, r)
		})
	})
	t.Run("in a check", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.key.spoilCheck = true
			r.start()
			time.Sleep(time.Second)
			r.key.with(func(k *faultyKey) { k.spoilCheck = false })
			time.Sleep(5 * time.Minute)
			quarantined(t, r)
			_, err := r.submit(submission(), alice, "")
			wantKind(t, err, signer.KindKeyUnusable)
		})
	})
}

// A key that is quarantined makes no further signature, and a result that it made
// before is not recorded after.
func TestQuarantineStopsRequestsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		block := make(chan struct{})
		r.key.with(func(k *faultyKey) { k.block = block })
		long := submission()
		long.Files = make([]signer.File, 90)
		for i := range long.Files {
			long.Files[i] = signer.File{Name: fmt.Sprint(i), Digest: capgo.Digest{8}}
		}
		first, err := r.core.Submit(t.Context(), long, alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// The other request's wrong signature comes first.
		r.key.with(func(k *faultyKey) {
			k.block = nil
			k.spoil = func(s []capgo.Signature) []capgo.Signature {
				if len(s) == 2 {
					s[0][9] ^= 1
				}
				return s
			}
		})
		sub := submission()
		sub.Version = "9.9.9"
		if got := r.mustSubmit(sub, bob); got.State != signer.Failed {
			t.Fatalf("the wrong signature: %s", got.State)
		}
		uses := r.key.used()
		close(block)
		got, err := r.core.Wait(t.Context(), first.ID)
		if err != nil || got.State != signer.Failed || got.Result != nil {
			t.Errorf("got %+v, %v, want it failed", got, err)
		}
		if more := r.key.used() - uses; more > 0 {
			t.Errorf("it made %d more signatures, want none", more)
		}
	})
}

// A backend that hangs is asked once, by one, and nobody waits long for it.
func TestHungBackendIsAskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.key.hang = true
		r.start()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				sub := submission()
				sub.Version = fmt.Sprintf("1.0.%d", i)
				_, err := r.submit(sub, alice, "")
				wantKind(t, err, signer.KindKeyUnavailable)
			})
		}
		wg.Wait()
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("the last of 32 callers waited %s", d)
		}
		if n := r.key.inspected.Load(); n != 1 {
			t.Errorf("the backend was asked %d times, want once", n)
		}
	})
}

// A caller that goes away says nothing about the key.
func TestCallerThatLeavesDoesNotChangeTheKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.key.fault = func() error { return fmt.Errorf("%w: the label changed", signer.ErrKeyUnusable) }
		r.start()
		synctest.Wait()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = r.core.Submit(ctx, submission(), alice, "")
		synctest.Wait()
		st, err := r.core.Key("acme")
		if err != nil || st.State != signer.KeyUnusable || !strings.Contains(st.Detail, "the label changed") {
			t.Errorf("got %s %q, %v, want the reason as it was", st.State, st.Detail, err)
		}
	})
}

// An error in the middle of a large request does not throw away what was made.
func TestLargeRequestGoesOnWhereItFailed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.config.MaxFiles = 1000
		r.start()
		r.mustSubmit(submission(), bob)
		var calls atomic.Int32
		r.key.with(func(k *faultyKey) {
			k.fault = func() error {
				if calls.Add(1) == 2 { // the second piece
					return errors.New("a passing fault")
				}
				return nil
			}
		})
		sub := submission()
		for i := range 800 {
			sub.Files = append(sub.Files, signer.File{Name: fmt.Sprint(i), Digest: capgo.Digest{8}})
		}
		uses := r.key.used()
		if got := r.mustSubmit(sub, alice); got.State != signer.Signed || len(got.Result.Files) != 800 {
			t.Fatalf("got %s: %s", got.State, got.Reason)
		}
		if n := r.key.used() - uses; n != 802 {
			t.Errorf("the key was used %d times for 802 payloads", n)
		}
	})
}

// A PIN that is wrong for a while must not cost a request that was accepted.
func TestAcceptedRequestOutlivesAnUnusableKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) {
			k.fault = func() error { return fmt.Errorf("%w: the PIN is wrong", signer.ErrKeyUnusable) }
		})
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		r.key.with(func(k *faultyKey) { k.fault = nil })
		if got, err := r.core.Wait(t.Context(), req.ID); err != nil || got.State != signer.Signed {
			t.Errorf("got %+v, %v, want it signed", got, err)
		}
	})
}

// The daemon that stops while a key is away leaves the request for the next start.
func TestStopLeavesWhatWaitsForItsKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) { k.fault = func() error { return signer.ErrUnavailable } })
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := r.core.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 authorized request") {
			t.Errorf("Close: %v, want that one is left", err)
		}
		r.stop()
		r.key.with(func(k *faultyKey) { k.fault = nil })
		r.start()
		synctest.Wait()
		if got, err := r.core.Wait(t.Context(), req.ID); err != nil || got.State != signer.Signed {
			t.Errorf("after the restart: %+v, %v, want it signed", got, err)
		}
	})
}

// Somebody who may have nothing signed cannot fill the disk with denials.
func TestDenialsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		mallory := policy.Identity{UID: 666, User: "mallory"}
		var tooMany *signer.Error
		for i := 0; tooMany == nil && i < 500; i++ {
			sub := submission()
			sub.Version = fmt.Sprintf("1.0.%d", i)
			sub.Files = []signer.File{{Name: "a", Digest: capgo.Digest{1, byte(i)}}}
			_, err := r.submit(sub, mallory, "")
			if errors.As(err, &tooMany) && tooMany.Kind == signer.KindDenied {
				tooMany = nil
			}
		}
		if tooMany == nil || tooMany.Kind != signer.KindTooMany || tooMany.Retry == 0 {
			t.Fatalf("got %+v, want that it is told to slow down", tooMany)
		}
		if n := len(r.requests()); n > 150 {
			t.Errorf("%d denials were recorded at once", n)
		}
		whole, err := r.core.Request(t.Context(), r.requests()[0].ID)
		if err != nil || len(whole.Submission.Files) != 0 || whole.FileCount != 1 {
			t.Errorf("a denied request keeps %+v, %v, want the number of its files only", whole, err)
		}
		if leaf := r.leaves(audit.LeafDenied)[0]; leaf.Files == nil || leaf.Files.Count != 1 {
			t.Error("the log does not stand for the files of a denied request")
		}
		if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
			t.Errorf("another user: %s", got.State)
		}
	})
}

// An idempotency key means one submission, also one that was known under another.
func TestIdempotencyKeyOfAKnownSubmissionIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		first, err := r.submit(submission(), alice, "one")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.submit(submission(), alice, "two"); err != nil || again.ID != first.ID {
			t.Fatalf("got %v, %v, want the same record", again, err)
		}
		other := submission()
		other.Version = "7.0.0"
		_, err = r.submit(other, alice, "two")
		wantKind(t, err, signer.KindKeyReuse)
	})
}

func TestLabelsThatWouldNotFitTheLogAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		huge := alice
		for i := range 1000 {
			huge.Groups = append(huge.Groups, strings.Repeat("g", 60)+fmt.Sprint(i))
		}
		sub := submission()
		sub.Labels = map[string]string{}
		for i := range 32 {
			sub.Labels[fmt.Sprintf("label%02d", i)] = strings.Repeat(`<`, 256)
		}
		if got := r.mustSubmit(sub, huge); got.State != signer.Signed {
			t.Errorf("the largest labels and a thousand groups: %s: %s", got.State, got.Reason)
		}
	})
}
