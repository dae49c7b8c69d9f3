package signer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

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
		// The next request after its return is not refused for what was so before.
		r.key.with(func(k *faultyKey) { k.fault = nil })
		before := time.Now()
		if got := r.mustSubmit(submission(), alice); got.State != signer.Signed {
			t.Errorf("as soon as the HSM came back: %s", got.State)
		}
		if d := time.Since(before); d > time.Second {
			t.Errorf("it took %s", d)
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
