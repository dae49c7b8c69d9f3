package signer_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// withSpare gives the rig's key a second replica.
func (r *rig) withSpare() *faultyKey {
	spare := &faultyKey{private: testKey(), custody: signer.NeverExtractable}
	k := &r.config.Keys[0]
	k.Replicas = append(k.Replicas, signer.Replica{URI: "faulty:spare", Key: spare})
	return spare
}

// release is a submission of another version for each number.
func release(n int) signer.Submission {
	sub := submission()
	sub.Version = fmt.Sprintf("1.0.%d", n)
	return sub
}

func away() error { return fmt.Errorf("%w: the network is away", signer.ErrUnavailable) }

// The second replica does the work while the first is away, and the status says
// which is in use and why; then the first does it again.
func TestFailOverAndBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		spare := r.withSpare()
		r.start()
		synctest.Wait()
		if got := r.mustSubmit(release(1), alice); got.State != signer.Signed || spare.used() != 0 {
			t.Fatalf("%s; the spare was used %d times beside a key that is well", got.State, spare.used())
		}
		r.key.with(func(k *faultyKey) { k.fault = away })
		before := time.Now()
		got := r.mustSubmit(release(2), alice)
		if got.State != signer.Signed || spare.used() != 2 || got.Result.Custody.Level != signer.NeverExtractable {
			t.Fatalf("%s by %q, the spare was used %d times; want it to do the work, and its custody", got.State, got.Result.Custody.Level, spare.used())
		}
		if d := time.Since(before); d > time.Second {
			t.Errorf("taking over took %s", d)
		}
		st, err := r.core.Key("acme")
		if err != nil || st.State != signer.KeyOK || !strings.Contains(st.Detail, "faulty:spare is used, because faulty:acme is unavailable: key backend unavailable: the network is away") {
			t.Errorf("got %s %q, %v, want which is used and why", st.State, st.Detail, err)
		}
		if st.At[0].InUse || !st.At[1].InUse || st.At[0].State != signer.KeyUnavailable || st.At[1].State != signer.KeyOK {
			t.Errorf("got replicas %+v", st.At)
		}
		if status := r.core.Status(t.Context()); status.OK() {
			t.Error("the status says that all is well with one replica away")
		}
		time.Sleep(10 * time.Minute)
		r.key.with(func(k *faultyKey) { k.fault = nil })
		time.Sleep(3 * time.Second)
		if got := r.mustSubmit(release(3), alice); got.State != signer.Signed || spare.used() != 2 || r.key.used() != 4 {
			t.Errorf("%s; the first was used %d times, the spare %d, want the first to be used again", got.State, r.key.used(), spare.used())
		}
		if st, _ := r.core.Key("acme"); st.Detail != "" || !st.At[0].InUse || st.At[1].InUse {
			t.Errorf("after the return: %q, %+v", st.Detail, st.At)
		}
	})
}

// A replica that fails in use and is back at once is used again soon, and not only when
// the next look at it was due before it failed.
func TestFailBackAfterAShortOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withSpare()
		r.start()
		synctest.Wait()
		r.key.with(func(k *faultyKey) { k.fault = away })
		if got := r.mustSubmit(release(1), alice); got.State != signer.Signed {
			t.Fatalf("%s: %s", got.State, got.Reason)
		}
		r.key.with(func(k *faultyKey) { k.fault = nil })
		time.Sleep(3 * time.Second)
		if st, err := r.core.Key("acme"); err != nil || !st.At[0].InUse || st.Detail != "" {
			t.Errorf("3 s after the return: %q, %+v, %v, want the first to be used again", st.Detail, st.At, err)
		}
	})
}

// A daemon that starts while the first replica hangs signs with the second.
func TestReplicaThatHangsDoesNotHoldUpTheOther(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withSpare()
		r.key.hang = true
		r.start()
		before := time.Now()
		if got := r.mustSubmit(release(1), alice); got.State != signer.Signed {
			t.Fatalf("%s: %s", got.State, got.Reason)
		}
		if d := time.Since(before); d > 2*time.Second {
			t.Errorf("the request waited %s for a replica that hangs", d)
		}
	})
}

// A replica that comes and goes is left alone for longer and longer, as long as
// another does the work.
func TestFlappingReplicaIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withSpare()
		r.start()
		var failed atomic.Int32
		// It is well when it is looked at, and fails as soon as it is used.
		r.key.with(func(k *faultyKey) { k.faultInUse = func() error { failed.Add(1); return away() } })
		for i := range 300 {
			if got := r.mustSubmit(release(i), alice); got.State != signer.Signed {
				t.Fatalf("%s: %s", got.State, got.Reason)
			}
			time.Sleep(time.Second)
		}
		if n := failed.Load(); n > 15 {
			t.Errorf("it failed %d requests of 300 in 5 minutes", n)
		}
	})
}

func TestAllReplicasAway(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		spare := r.withSpare()
		r.key.fault, spare.fault = away, func() error { return fmt.Errorf("%w: the label changed", signer.ErrKeyUnusable) }
		r.start()
		_, err := r.submit(submission(), alice, "")
		e := wantKind(t, err, signer.KindKeyUnavailable) // one of them can come back by itself
		for _, want := range []string{"faulty:acme is unavailable", "the network is away", "faulty:spare is unusable", "the label changed"} {
			if !strings.Contains(e.Detail, want) {
				t.Errorf("%q does not say %q", e.Detail, want)
			}
		}
		spare.with(func(k *faultyKey) { k.fault = nil })
		time.Sleep(time.Second)
		if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
			t.Errorf("after one came back: %s", got.State)
		}
	})
}

// A wrong signature of one replica ends the use of the key everywhere: it is the
// same private key.
func TestWrongSignatureOfOneReplicaQuarantinesTheKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		spare := r.withSpare()
		r.key.spoilCheck = true
		r.start()
		synctest.Wait()
		uses := spare.used()
		_, err := r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindKeyUnusable)
		if spare.used() != uses {
			t.Error("the other replica was used")
		}
	})
}

// One private key under two names is quarantined under both.
func TestQuarantineIsOfTheKeyAndNotOfItsName(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		twin := r.config.Keys[0]
		twin.Name, twin.Apps = "twin", []string{"com.acme.twin"}
		twin.Replicas = []signer.Replica{{URI: "faulty:twin", Key: &faultyKey{private: testKey(), custody: signer.NonExtractable}}}
		r.config.Keys = append(r.config.Keys, twin)
		r.key.spoilCheck = true
		r.start()
		synctest.Wait()
		refused := func() {
			t.Helper()
			sub := submission()
			sub.AppID = "com.acme.twin"
			_, err := r.submit(sub, alice, "")
			if e := wantKind(t, err, signer.KindKeyUnusable); !strings.Contains(e.Detail, "quarantined") {
				t.Errorf("%q does not say why", e.Detail)
			}
		}
		refused()
		r.stop()
		r.start()
		refused()
	})
}

// quotaError is a backend that says when to come back.
type quotaError struct{ after time.Duration }

func (e quotaError) Error() string             { return "the quota is used up" }
func (e quotaError) Unwrap() error             { return signer.ErrUnavailable }
func (e quotaError) RetryAfter() time.Duration { return e.after }

// A backend that says when to come back is left alone until then, and callers are
// told.
func TestQuotaIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		over := time.Now().Add(30 * time.Second)
		var asked atomic.Int32
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error {
				asked.Add(1)
				if left := time.Until(over); left > 0 {
					return quotaError{left}
				}
				return nil
			}
		})
		first, err := r.core.Submit(t.Context(), release(1), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err = r.core.Submit(t.Context(), release(2), alice, "")
		e := wantKind(t, err, signer.KindKeyUnavailable)
		if e.Retry < 28*time.Second || e.Retry > 30*time.Second || !strings.Contains(e.Detail, "the quota is used up") {
			t.Errorf("got %q, retry %s, want the cause and when the quota is back", e.Detail, e.Retry)
		}
		if st, _ := r.core.Key("acme"); st.State != signer.KeyPaused {
			t.Errorf("the key is %s, want %s", st.State, signer.KeyPaused)
		}
		got, err := r.core.Wait(t.Context(), first.ID)
		if err != nil || got.State != signer.Signed {
			t.Fatalf("got %+v, %v, want it signed", got, err)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("the backend was asked %d times, want before and after the pause", n)
		}
		if late := time.Since(over); late > time.Second {
			t.Errorf("the request was signed %s after the pause", late)
		}
	})
}

// What a backend says about coming back is believed within reason, and does not make
// a key well that somebody must see to.
func TestRetryAfterIsBelievedWithinReason(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		state signer.KeyState // meanwhile
		kind  signer.Kind     // of the refusals meanwhile
		least time.Duration   // until it is asked again
		most  time.Duration
	}{
		"a year":          {quotaError{8766 * time.Hour}, signer.KeyPaused, signer.KindKeyUnavailable, time.Minute, 62 * time.Second},
		"a year ago":      {fault: quotaError{-8766 * time.Hour}, most: 2 * time.Second},
		"of no use":       {fmt.Errorf("%w: %w", signer.ErrKeyUnusable, quotaError{20 * time.Second}), signer.KeyUnusable, signer.KindKeyUnusable, 20 * time.Second, 22 * time.Second},
		"the least time":  {fault: quotaError{1}, most: 2 * time.Second},
		"not said at all": {fault: away(), most: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				r.mustSubmit(submission(), bob)
				begun := time.Now()
				var asked atomic.Int32
				var again atomic.Int64 // when it was asked again, after begun
				r.key.with(func(k *faultyKey) {
					k.fault = func() error {
						switch asked.Add(1) {
						case 1:
							return c.fault
						case 2:
							again.Store(int64(time.Since(begun)))
						}
						return nil
					}
				})
				if _, err := r.core.Submit(t.Context(), release(1), alice, ""); err != nil {
					t.Fatal(err)
				}
				if c.least > 0 {
					synctest.Wait()
					if st, _ := r.core.Key("acme"); st.State != c.state {
						t.Errorf("the key is %s: %s, want %s", st.State, st.Detail, c.state)
					}
					_, err := r.core.Submit(t.Context(), release(2), alice, "")
					wantKind(t, err, c.kind)
				}
				time.Sleep(c.most)
				synctest.Wait()
				if d := time.Duration(again.Load()); asked.Load() < 2 || d < c.least {
					t.Errorf("it was asked %d times, again after %s, want %s to %s", asked.Load(), d, c.least, c.most)
				}
			})
		})
	}
}

// Requests that wait for their turn do not each lose the time-out of a replica that
// fell before it, and a backend that wants to be left alone is, also by them.
func TestQueueTurnsFromAReplicaThatFell(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		spare bool
		most  time.Duration
	}{
		"a network that swallows all": {signer.ErrUnavailable, true, 15 * time.Second},
		"a quota":                     {quotaError{20 * time.Second}, false, 45 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if c.spare {
					r.withSpare()
				}
				r.start()
				r.mustSubmit(submission(), bob)
				var asked atomic.Int32
				begun := time.Now()
				r.key.with(func(k *faultyKey) {
					k.faultInUse = func() error {
						if time.Since(begun) > 15*time.Second {
							return nil
						}
						asked.Add(1)
						time.Sleep(10 * time.Second)
						return c.fault
					}
				})
				var ids []string
				for i := range 8 {
					who := alice
					if i%2 == 1 {
						who = bob
					}
					req, err := r.core.Submit(t.Context(), release(i), who, "")
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, req.ID)
				}
				for _, id := range ids {
					if got, err := r.core.Wait(t.Context(), id); err != nil || got.State != signer.Signed {
						t.Fatalf("got %+v, %v, want it signed", got, err)
					}
				}
				if n := asked.Load(); n != 2 {
					t.Errorf("the replica was asked %d times, want by the 2 requests that had their turn", n)
				}
				if d := time.Since(begun); d > c.most {
					t.Errorf("the last was signed after %s", d)
				}
			})
		})
	}
}

func TestDisabledKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		block := make(chan struct{})
		r.key.with(func(k *faultyKey) { k.block = block })
		waits, err := r.core.Submit(t.Context(), release(1), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := r.core.DisableKey(t.Context(), "acme", " ", root); err == nil {
			t.Error("a key was disabled without a reason")
		}
		if err := r.core.DisableKey(t.Context(), "acme", "the token was stolen", root); err != nil {
			t.Fatal(err)
		}
		// At once: also for what was under way.
		got, err := r.core.Wait(t.Context(), waits.ID)
		if err != nil || got.State != signer.Failed || !strings.Contains(got.Reason, "the token was stolen") {
			t.Errorf("got %+v, %v, want it failed with the reason", got, err)
		}
		close(block)
		uses := r.key.used()
		refused := func() {
			t.Helper()
			time.Sleep(5 * time.Minute)
			_, err := r.submit(release(2), alice, "")
			if e := wantKind(t, err, signer.KindKeyUnusable); !strings.Contains(e.Detail, `key "acme" is disabled: the token was stolen`) {
				t.Errorf("%q does not say why", e.Detail)
			}
			_, err = r.core.CheckKey(t.Context(), "acme", root)
			wantKind(t, err, signer.KindKeyUnusable)
			if st, _ := r.core.Key("acme"); st.State != signer.KeyDisabled {
				t.Errorf("the key is %s", st.State)
			}
		}
		inspections := r.key.inspected.Load()
		refused()
		if n := r.key.inspected.Load(); n != inspections {
			t.Errorf("a disabled key was looked at %d times", n-inspections)
		}
		r.stop()
		r.start()
		refused()
		if err := r.core.EnableKey(t.Context(), "acme", "found again", root); err != nil {
			t.Fatal(err)
		}
		if r.key.used() != uses {
			t.Error("the key was used while it was disabled")
		}
		if got := r.mustSubmit(release(3), alice); got.State != signer.Signed {
			t.Errorf("after it was enabled: %s", got.State)
		}
		wantKind(t, r.core.EnableKey(t.Context(), "acme", "again", root), signer.KindConflict)
		wantKind(t, r.core.DisableKey(t.Context(), "other", "x", root), signer.KindNotFound)
		leaves := r.leaves(audit.LeafKey)
		if len(leaves) != 2 || leaves[0].Operation.Action != audit.KeyDisable || leaves[0].Reason != "the token was stolen" ||
			leaves[0].Requester.UID != 0 || leaves[1].Operation.Action != audit.KeyEnable {
			t.Errorf("the log says %+v", leaves)
		}
	})
}

// A full disk does not keep a key in use that somebody wants stopped.
func TestDisablingWorksWithoutADisk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.store.failWith(func(int) error { return signer.ErrStoreFull })
		wantKind(t, r.core.DisableKey(t.Context(), "acme", "stop", alice), signer.KindStore)
		r.store.failWith(nil)
		_, err := r.submit(release(1), alice, "")
		wantKind(t, err, signer.KindKeyUnusable)
		if err := r.core.EnableKey(t.Context(), "acme", "go", alice); err != nil {
			t.Errorf("it cannot be enabled again: %v", err)
		}
	})
}

func TestCheckKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		spare := r.withSpare()
		r.start()
		r.mustSubmit(submission(), bob)
		st, err := r.core.CheckKey(t.Context(), "acme", alice)
		if err != nil || st.State != signer.KeyOK {
			t.Fatalf("got %s, %v", st.State, err)
		}
		spare.with(func(k *faultyKey) { k.fault = away })
		st, err = r.core.CheckKey(t.Context(), "acme", alice)
		if err != nil || st.At[1].State != signer.KeyUnavailable {
			t.Errorf("got %+v, %v, want the spare found away", st.At, err)
		}
		var phases []string
		for _, l := range r.leaves(audit.LeafKey) {
			phases = append(phases, string(l.Operation.Phase))
		}
		if got := strings.Join(phases, " "); got != "begun done begun failed" {
			t.Errorf("the log says %q", got)
		}
		// What cannot be recorded is not done.
		inspected := r.key.inspected.Load()
		r.store.failWith(func(int) error { return signer.ErrStoreFull })
		_, err = r.core.CheckKey(t.Context(), "acme", alice)
		wantKind(t, err, signer.KindStore)
		if r.key.inspected.Load() != inspected {
			t.Error("the key was used for a check that is not in the log")
		}
	})
}

// Two keys of one app stand side by side: a request gets the one it names.
func TestTwoKeysOfOneApp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := &faultyKey{private: otherTestKey(), custody: signer.NonExtractable}
		r.config.Keys = append(r.config.Keys, signer.KeyConfig{
			Name: "next", Apps: []string{"com.acme.shop"}, OnlyOnRequest: true, Pin: publicKey(t, otherTestKey()), Demand: signer.NonExtractable,
			Replicas: []signer.Replica{{URI: "faulty:next", Key: next}}, Queue: 8,
		})
		r.start()
		named := submission()
		named.Key = "next"
		if got := r.mustSubmit(submission(), alice); got.Key != "acme" {
			t.Errorf("a request that names no key got %q", got.Key)
		}
		got := r.mustSubmit(named, alice)
		if got.State != signer.Signed || got.Key != "next" || next.used() != 2 {
			t.Errorf("a request that names a key: %s by %q", got.State, got.Key)
		}
		for _, bad := range []signer.Submission{{Key: "nobody"}, {AppID: "com.acme.other", Key: "next"}} {
			sub := submission()
			sub.Key = bad.Key
			if bad.AppID != "" {
				sub.AppID = bad.AppID
			}
			_, err := r.submit(sub, alice, "")
			wantKind(t, err, signer.KindNoKey)
		}
	})
}

func TestTwoKeysOfOneAppMustDiffer(t *testing.T) {
	r := newRig(t)
	second := r.config.Keys[0]
	second.Name = "second"
	r.config.Keys = append(r.config.Keys, second)
	if _, err := signer.New(r.config, nil, r.clock, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "only_on_request") {
		t.Errorf("got %v, want it refused", err)
	}
	second.Replicas = nil
	r.config.Keys = []signer.KeyConfig{second}
	if _, err := signer.New(r.config, nil, r.clock, zap.NewNop()); err == nil {
		t.Error("a key that is nowhere was taken")
	}
}
