package signer_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// spoilt is what a key makes that must not be used again.
func spoilt(s []capgo.Signature) []capgo.Signature {
	s[0][100] ^= 1
	return s
}

// slowly gives the other keys of a request the time to begin.
func slowly() error {
	time.Sleep(time.Second)
	return nil
}

// How long another key of the request takes to end does not matter.
func TestKeyIsQuarantinedAsSoonAsItsSignatureIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		gate := make(chan struct{})
		next.with(func(k *faultyKey) { k.deaf = gate })
		r.key.with(func(k *faultyKey) { k.faultInUse, k.spoil = slowly, spoilt })
		req, err := r.core.Submit(t.Context(), rotating(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if st, _ := r.core.Key("acme"); st.State != signer.KeyQuarantined {
			t.Errorf("while the other key works, the key is %s", st.State)
		}
		_, err = r.submit(submission(), bob, "")
		close(gate)
		wantKind(t, err, signer.KindKeyUnusable)
		r.wantFailed(req.ID, `key "acme" is quarantined`)
	})
}

// No quarantine waits for another one to be recorded.
func TestAllKeysWithWrongSignaturesAreQuarantinedThoughTheStoreIsFull(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		for _, k := range []*faultyKey{r.key, next} {
			k.with(func(k *faultyKey) { k.faultInUse, k.spoil = slowly, spoilt })
		}
		r.store.failWith(func(n int) error {
			if n > 0 {
				return signer.ErrStoreFull
			}
			return nil
		})
		req, err := r.core.Submit(t.Context(), rotating(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for _, name := range []string{"acme", "acme-new"} {
			if st, _ := r.core.Key(name); st.State != signer.KeyQuarantined {
				t.Errorf("key %s is %s", name, st.State)
			}
		}
		r.store.failWith(nil)
		r.wantFailed(req.ID, `key "acme" is quarantined`)
		r.wantFailed(req.ID, `key "acme-new" is quarantined`)
		recorded, err := r.store.Quarantined(t.Context())
		if err != nil || recorded["acme"] == "" || recorded["acme-new"] == "" {
			t.Errorf("recorded are %v, %v", recorded, err)
		}
	})
}

// A key that has done its part of a request is free for others.
func TestPlaceInTheQueueIsHeldUntilItsKeyIsDone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.config.Keys[0].Queue = 4 // two of them for alice
		r.start()
		synctest.Wait()
		gate := make(chan struct{})
		next.with(func(k *faultyKey) { k.block = gate })
		var slow []string
		for i := range 2 {
			sub := rotating()
			sub.Version = fmt.Sprintf("1.0.%d", i)
			req, err := r.core.Submit(t.Context(), sub, alice, "")
			if err != nil {
				t.Fatal(err)
			}
			slow = append(slow, req.ID)
		}
		synctest.Wait()
		for name, want := range map[string]int{"acme": 0, "acme-new": 2} {
			if st, _ := r.core.Key(name); st.Waiting != want {
				t.Errorf("%d requests wait for key %s, want %d", st.Waiting, name, want)
			}
		}
		sub := submission()
		sub.Version = "3.0.0"
		if got, err := r.submit(sub, alice, ""); err != nil || got.State != signer.Signed {
			t.Errorf("with the first key alone: %+v, %v", got, err)
		}
		close(gate)
		for _, id := range slow {
			if got := r.end(id); got.State != signer.Signed {
				t.Errorf("%s: %s", got.State, got.Reason)
			}
		}
		synctest.Wait()
		for _, name := range []string{"acme", "acme-new"} {
			if st, _ := r.core.Key(name); st.Waiting != 0 {
				t.Errorf("%d requests wait for key %s, want each place given back once", st.Waiting, name)
			}
		}
	})
}

func TestKeyThatSignsAfterItsTimeIsSaidToBeLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error { time.Sleep(70 * time.Second); return nil }
		})
		var uses atomic.Int32
		next.with(func(k *faultyKey) {
			k.faultInUse = func() error {
				if uses.Add(1) == 1 {
					time.Sleep(30 * time.Second) // its time begins anew with the next use
					return away()
				}
				time.Sleep(2 * time.Minute)
				return away()
			}
		})
		req, err := r.core.Submit(t.Context(), rotating(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		r.wantFailed(req.ID, `key "acme" could not be used for 1m0s: it answered too late`)
		if got := r.state(req.ID); strings.Contains(got.Reason, "nil") {
			t.Errorf("found %q", got.Reason)
		}
	})
}

func TestJournalNamesEveryKeyOfARequest(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withNewKey()
		r.open()
		core, entries := observer.New(zap.InfoLevel)
		var err error
		if r.core, err = signer.New(r.config, r.store, r.clock, zap.New(core)); err != nil {
			t.Fatal(err)
		}
		if err := r.core.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.mustSubmit(rotating(), alice)
		signed := entries.FilterMessage("request").FilterField(zap.String("state", "signed"))
		if signed.Len() != 1 || signed.FilterField(zap.String("key", "acme, acme-new")).Len() != 1 {
			t.Errorf("found %v, want one entry with both keys", signed.All())
		}
	})
}
