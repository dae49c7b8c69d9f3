package signer_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test with a clock of its own, so that waiting costs no time.
func bubble(t *testing.T, fn func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() {
			if r.store != nil {
				r.stop()
			}
		}()
		fn(t, r)
	})
}

func TestSigned(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		pub := publicKey(t, testKey())
		for _, format := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
			sub := submission()
			sub.Format = format
			for i := range 70 { // more than one chunk
				sub.Files = append(sub.Files, signer.File{Name: fmt.Sprintf("f%d.js", i), Digest: capgo.Digest{9, byte(i)}})
			}
			got := r.mustSubmit(sub, alice)
			if got.State != signer.Signed {
				t.Fatalf("state %s: %s", got.State, got.Reason)
			}
			verify := func(d capgo.Digest, sig capgo.Signature) {
				t.Helper()
				p, err := capgo.ChecksumPayload(d, format)
				if err != nil {
					t.Fatal(err)
				}
				if err := pub.Verify(p, sig); err != nil {
					t.Error(err)
				}
			}
			verify(sub.Digest, got.Result.Checksum)
			for i, f := range sub.Files {
				verify(f.Digest, got.Result.Files[i])
			}
			if _, err := pub.Unwrap(got.Result.SessionKey); err != nil {
				t.Error(err)
			}

			leaf := r.leaves(audit.LeafSigned)
			last := leaf[len(leaf)-1]
			sum := sha256.Sum256(got.Result.Checksum[:])
			if last.Request != got.ID || last.ChecksumSHA256 != hex.EncodeToString(sum[:]) || last.Files.Count != 70 {
				t.Errorf("log entry %+v does not stand for the signature", last)
			}
			rec, err := r.core.Receipt(t.Context(), got)
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Verify(r.verifier); err != nil {
				t.Error(err)
			}
		}
		auth := r.leaves(audit.LeafAuthorized)[0]
		if auth.Decision.Rule != "open" || auth.Requester.User != "alice" || auth.Decision.PolicyHash == "" {
			t.Errorf("log entry %+v does not say who and why", auth)
		}
	})
}

func TestDenied(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		sub := submission()
		sub.Channel = "closed"
		_, err := r.submit(sub, alice, "")
		e := wantKind(t, err, signer.KindDenied)
		if !strings.Contains(e.Detail, `rule "closed" denies it: not today`) || e.Request == nil {
			t.Errorf("got %q with record %v, want the rule, its message and the record", e.Detail, e.Request)
		}
		_, err = r.submit(submission(), policy.Identity{UID: 77, User: "mallory"}, "")
		e = wantKind(t, err, signer.KindDenied)
		if !strings.Contains(e.Detail, "no rule matches") {
			t.Errorf("got %q, want that no rule matches", e.Detail)
		}
		if got := r.leaves(audit.LeafDenied); len(got) != 2 || got[1].Requester.User != "mallory" {
			t.Errorf("the log has %d denials, want 2", len(got))
		}
		if r.key.used() != 0 {
			t.Error("the key was used for a denied request")
		}
	})
}

func TestUnknownAppHasNoKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		sub := submission()
		sub.AppID = "com.acme.other"
		_, err := r.submit(sub, alice, "")
		e := wantKind(t, err, signer.KindNoKey)
		if !strings.Contains(e.Detail, "com.acme.other") {
			t.Errorf("%q does not name the app", e.Detail)
		}
		if len(r.requests()) != 0 {
			t.Error("a request without a key was recorded")
		}
	})
}

func TestSameRequestSameRecord(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		first := r.mustSubmit(submission(), alice)
		uses := r.key.used()
		again := r.mustSubmit(submission(), alice)
		if again.ID != first.ID || again.Result.SessionKey != first.Result.SessionKey || r.key.used() != uses {
			t.Errorf("a retry got %s with %d uses of the key, want %s with %d", again.ID, r.key.used(), first.ID, uses)
		}
		if got := r.mustSubmit(submission(), bob); got.ID == first.ID {
			t.Error("another requester got alice's record")
		}
		sub := submission()
		sub.Labels = map[string]string{"commit": "abc"}
		if got := r.mustSubmit(sub, alice); got.ID == first.ID {
			t.Error("another submission got the same record")
		}
		// While the key is away, the answer of before is still there.
		r.key.with(func(k *faultyKey) { k.fault = func() error { return signer.ErrUnavailable } })
		time.Sleep(2 * time.Minute) // until the next check sees it
		if got := r.mustSubmit(submission(), alice); got.ID != first.ID {
			t.Errorf("got %s while the key is away, want %s", got.ID, first.ID)
		}
		r.stop()
		r.key.with(func(k *faultyKey) { k.fault = nil })
		r.start()
		if got := r.mustSubmit(submission(), alice); got.ID != first.ID || got.Result.Checksum != first.Result.Checksum {
			t.Errorf("got %s after a restart, want %s", got.ID, first.ID)
		}
	})
}

func TestRacingRetriesSignOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		ids := make([]string, 8)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				req, err := r.submit(submission(), alice, "")
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = req.ID
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("got %s and %s, want one record", id, ids[0])
			}
		}
		if r.key.used() != 2 {
			t.Errorf("the key was used %d times, want 2: checksum and session key", r.key.used())
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		first, err := r.submit(submission(), alice, "build-7")
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.submit(submission(), alice, "build-7")
		if err != nil || again.ID != first.ID {
			t.Errorf("got %v, %v, want the record of before", again, err)
		}
		sub := submission()
		sub.Version = "1.2.4"
		_, err = r.submit(sub, alice, "build-7")
		wantKind(t, err, signer.KindKeyReuse)
		if other, err := r.submit(submission(), bob, "build-7"); err != nil || other.ID == first.ID {
			t.Errorf("bob with alice's idempotency key: %v, %v, want a record of his own", other, err)
		}
		_, err = r.submit(submission(), alice, "a\nb")
		wantKind(t, err, signer.KindInvalid)
	})
}

func TestDeniedRequestIsDecidedAnewByANewPolicy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		sub := submission()
		sub.Channel = "closed"
		for range 3 {
			_, err := r.submit(sub, alice, "")
			wantKind(t, err, signer.KindDenied)
		}
		if got := r.leaves(audit.LeafDenied); len(got) != 1 {
			t.Errorf("asking three times made %d log entries, want 1", len(got))
		}
		p := rules(t, policy.Rule{Name: "all", Effect: policy.Allow})
		if err := r.core.SetPolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if got := r.mustSubmit(sub, alice); got.State != signer.Signed || got.Decision.PolicyHash != p.Hash() {
			t.Errorf("got %s by %s, want it signed by the new policy", got.State, got.Decision.PolicyHash)
		}
		if got := r.leaves(audit.LeafPolicy); len(got) != 1 || got[0].Policy != p.Hash() {
			t.Error("the log does not have the new policy")
		}
	})
}

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

func TestAuthorizedRequestIsFinishedAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) { k.block = make(chan struct{}) })
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.stop()
		r.key.with(func(k *faultyKey) { k.block = nil })
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
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) { k.block = make(chan struct{}) })
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.stop()
		r.key.with(func(k *faultyKey) { k.block, k.private = nil, otherTestKey() })
		r.config.Keys[0].Pin = publicKey(t, otherTestKey())
		r.start()
		synctest.Wait()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Failed || !strings.Contains(got.Reason, "no longer signs for") {
			t.Fatalf("got %+v, %v, want it failed with the reason", got, err)
		}
	})
}

// Invariant 3: a wrong signature is never released, and ends the use of the key.
func TestWrongSignatureQuarantinesTheKey(t *testing.T) {
	for name, spoil := range map[string]func([]capgo.Signature) []capgo.Signature{
		"checksum":    func(s []capgo.Signature) []capgo.Signature { s[0][100] ^= 1; return s },
		"session key": func(s []capgo.Signature) []capgo.Signature { s[1][100] ^= 1; return s },
		"swapped":     func(s []capgo.Signature) []capgo.Signature { s[0], s[1] = s[1], s[0]; return s },
		"one missing": func(s []capgo.Signature) []capgo.Signature { return s[:1] },
		"one more":    func(s []capgo.Signature) []capgo.Signature { return append(s, s[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				r.key.with(func(k *faultyKey) { k.spoil = spoil })
				got := r.mustSubmit(submission(), alice)
				if got.State != signer.Failed || got.Result != nil || !strings.Contains(got.Reason, "quarantine") {
					t.Fatalf("got %+v, want it failed without a result", got)
				}
				if n := len(r.leaves(audit.LeafQuarantined)); n != 1 {
					t.Errorf("the log has %d quarantines, want 1", n)
				}
				r.key.with(func(k *faultyKey) { k.spoil = nil })
				refused := func(when string) {
					t.Helper()
					time.Sleep(5 * time.Minute) // no check may bring it back
					_, err := r.submit(submission(), bob, "")
					if e := wantKind(t, err, signer.KindKeyUnusable); !strings.Contains(e.Detail, "wrong signature") {
						t.Errorf("%s: %q does not say why", when, e.Detail)
					}
				}
				refused("before a restart")
				r.stop()
				r.start()
				refused("after a restart")
				if err := r.store.Update(t.Context(), func(tx signer.Tx) error { return tx.Release("acme") }); err != nil {
					t.Fatal(err)
				}
				r.stop()
				r.start()
				if got := r.mustSubmit(submission(), bob); got.State != signer.Signed {
					t.Errorf("after the release: %s", got.State)
				}
			})
		})
	}
}

func TestKeyMustBeWhatTheConfigurationSays(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rig)
		want   string
	}{
		"another key":     {func(r *rig) { r.key.private = otherTestKey() }, "pins"},
		"weaker custody":  {func(r *rig) { r.key.custody = signer.Software }, `proved custody "software"`},
		"unknown custody": {func(r *rig) { r.key.custody = "excellent" }, `proved custody "excellent"`},
		"unknown demand":  {func(r *rig) { r.config.Keys[0].Demand = "excellent" }, `demands "excellent"`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c.change(r)
				r.start()
				_, err := r.submit(submission(), alice, "")
				if e := wantKind(t, err, signer.KindKeyUnusable); !strings.Contains(e.Detail, c.want) {
					t.Errorf("got %q, want %q in it", e.Detail, c.want)
				}
				if len(r.requests()) != 0 || r.key.used() != 0 {
					t.Error("something was recorded or signed")
				}
			})
		})
	}
}

func TestUnavailableKeyIsRefusedAtOnceAndHeals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		away := func() error { return fmt.Errorf("%w: the HSM does not answer", signer.ErrUnavailable) }
		r.key.fault = away
		r.start() // starts without its HSM
		_, err := r.submit(submission(), alice, "")
		e := wantKind(t, err, signer.KindKeyUnavailable)
		if !strings.Contains(e.Detail, "the HSM does not answer") || e.Retry == 0 {
			t.Errorf("got %q, retry %s, want the cause and a time", e.Detail, e.Retry)
		}
		if len(r.requests()) != 0 {
			t.Error("a request was recorded that could not be worked on")
		}
		if st := r.core.Status(t.Context()); st.OK() {
			t.Error("the status says that all is well")
		}
		r.key.with(func(k *faultyKey) { k.fault = nil })
		time.Sleep(time.Second)
		if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
			t.Errorf("a second after the HSM came back: %s", got.State)
		}
	})
}

func TestAcceptedRequestIsTriedUntilTheKeyIsBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) { k.fault = func() error { return errors.New("some error of a driver") } })
		req, err := r.core.Submit(t.Context(), submission(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		r.key.with(func(k *faultyKey) { k.fault = nil })
		before := time.Now()
		got, err := r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Signed {
			t.Fatalf("got %+v, %v, want it signed", got, err)
		}
		if d := time.Since(before); d > 8*time.Second {
			t.Errorf("it took %s after the key was back", d)
		}
	})
}

func TestAcceptedRequestFailsAtTheTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) { k.fault = func() error { return fmt.Errorf("%w: gone", signer.ErrUnavailable) } })
		got := r.mustSubmit(submission(), alice)
		if got.State != signer.Failed || !strings.Contains(got.Reason, "could not be used for 1m0s") || !strings.Contains(got.Reason, "gone") {
			t.Errorf("got %s: %q, want it failed with time and cause", got.State, got.Reason)
		}
		if n := len(r.leaves(audit.LeafFailed)); n != 1 {
			t.Errorf("the log has %d failures, want 1", n)
		}
		// A failure is final, but asking again is a new request.
		r.key.with(func(k *faultyKey) { k.fault = nil })
		time.Sleep(time.Second)
		if again := r.mustSubmit(submission(), alice); again.ID == got.ID || again.State != signer.Signed {
			t.Errorf("asking again gave %s %s", again.ID, again.State)
		}
	})
}

func TestFullQueueIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Keys[0].Queue = 4
		r.start()
		r.mustSubmit(submission(), bob)
		block := make(chan struct{})
		r.key.with(func(k *faultyKey) { k.block = block })
		version := func(v string) signer.Submission {
			sub := submission()
			sub.Version = v
			return sub
		}
		busy := func(v string, who policy.Identity, want string) {
			t.Helper()
			before := len(r.requests())
			_, err := r.core.Submit(t.Context(), version(v), who, "")
			if e := wantKind(t, err, signer.KindBusy); e.Retry == 0 || !strings.Contains(e.Detail, want) {
				t.Errorf("got %q, retry %s, want %q and a time", e.Detail, e.Retry, want)
			}
			if len(r.requests()) != before {
				t.Error("a request was recorded that was turned away")
			}
		}
		submit := func(v string, who policy.Identity) {
			t.Helper()
			if _, err := r.core.Submit(t.Context(), version(v), who, ""); err != nil {
				t.Fatal(err)
			}
		}
		submit("2.0.0", alice)
		submit("2.0.1", alice)
		busy("2.0.2", alice, "requests of yours") // half of the places are for others
		submit("2.0.0", bob)
		submit("2.0.1", bob)
		busy("2.0.2", policy.Identity{UID: 9, User: "alice"}, "4 requests wait")
		submit("2.0.1", alice) // a request that is in the queue already is not turned away
		close(block)
		synctest.Wait()
		if got := r.mustSubmit(version("3.0.0"), alice); got.State != signer.Signed {
			t.Errorf("after the queue was worked off: %s", got.State)
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

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		signed := r.mustSubmit(submission(), alice)
		_, err := r.core.Cancel(t.Context(), signed.ID, alice)
		wantKind(t, err, signer.KindConflict)
		_, err = r.core.Cancel(t.Context(), signed.ID, bob)
		wantKind(t, err, signer.KindForbidden)
		_, err = r.core.Cancel(t.Context(), "nonsense", alice)
		wantKind(t, err, signer.KindNotFound)

		pending := *signed
		pending.ID, pending.State, pending.Result = "waiting", signer.Pending, nil
		if err := r.store.Update(t.Context(), func(tx signer.Tx) error { return tx.Insert(&pending) }); err != nil {
			t.Fatal(err)
		}
		got, err := r.core.Cancel(t.Context(), "waiting", alice)
		if err != nil || got.State != signer.Cancelled {
			t.Errorf("got %+v, %v, want it cancelled", got, err)
		}
		if n := len(r.leaves(audit.LeafCancelled)); n != 1 {
			t.Errorf("the log has %d cancellations, want 1", n)
		}
	})
}

// Invariant 6, as far as the core goes: the log holds neither session key nor
// signature, only their hashes.
func TestLogHoldsNoSignature(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		got := r.mustSubmit(submission(), alice)
		msg, err := r.core.Log().Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tree, err := audit.OpenCheckpoint(msg, r.verifier)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := r.core.Log().Entries(t.Context(), 0, tree.N)
		if err != nil {
			t.Fatal(err)
		}
		_, wrapped, _ := strings.Cut(got.Result.SessionKey.String(), ":")
		for _, e := range entries {
			for _, secret := range []string{wrapped, got.Result.Checksum.Checksum(capgo.FormatHex), got.Result.Checksum.Checksum(capgo.FormatLegacy)} {
				if strings.Contains(string(e), secret) {
					t.Errorf("log entry %s holds a signature", e)
				}
			}
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
