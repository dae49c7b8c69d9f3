package signer_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// faultyLogKey is an Ed25519 key with faults that no real backend shows on demand.
type faultyLogKey struct {
	private ed25519.PrivateKey

	mu     sync.Mutex
	fault  error
	hang   bool
	spoil  bool
	signed []string
}

// set changes the faults.
func (k *faultyLogKey) set(fault error, hang, spoil bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault, k.hang, k.spoil = fault, hang, spoil
}

func (k *faultyLogKey) SignCheckpoint(ctx context.Context, text audit.CheckpointText) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hang {
		k.mu.Unlock()
		<-ctx.Done()
		k.mu.Lock()
		return nil, ctx.Err()
	}
	if k.fault != nil {
		return nil, k.fault
	}
	k.signed = append(k.signed, string(text.Bytes()))
	signature := ed25519.Sign(k.private, text.Bytes())
	if k.spoil {
		signature[5] ^= 1
	}
	return signature, nil
}

func (k *faultyLogKey) PublicKey(context.Context) (ed25519.PublicKey, error) {
	return k.private.Public().(ed25519.PublicKey), nil
}

func (k *faultyLogKey) Close() error { return nil }

// withLogKey puts the rig's log key into a backend.
func (r *rig) withLogKey() *faultyLogKey {
	r.t.Helper()
	k := &faultyLogKey{private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	pin, err := note.NewEd25519VerifierKey("example.com/signer-test", k.private.Public().(ed25519.PublicKey))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.verifier, err = note.NewVerifier(pin); err != nil {
		r.t.Fatal(err)
	}
	r.logKey = signer.NewLogSigner(k, r.verifier, time.Second)
	return k
}

// The log's key may be in a backend that is not there yet: the daemon starts,
// signs nothing, says so, and heals.
func TestLogKeyInABackend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		k := r.withLogKey()
		k.set(signer.ErrUnavailable, false, false)
		r.start()
		time.Sleep(5 * time.Second)
		_, err := r.submit(submission(), alice, "")
		wantKind(t, err, signer.KindStore)
		if st := r.core.Status(t.Context()); st.OK() {
			t.Error("the status says that all is well")
		}
		if r.key.used() != 0 {
			t.Error("something was signed that is not in the log")
		}
		k.set(nil, false, false)
		time.Sleep(2 * time.Second)
		first := r.mustSubmit(submission(), alice)
		if first.State != signer.Signed {
			t.Fatalf("after the key came back: %s", first.State)
		}
		rec, err := r.core.Receipt(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Verify(r.verifier); err != nil {
			t.Error(err)
		}

		k.set(signer.ErrUnavailable, false, false)
		_, err = r.submit(release(2), alice, "")
		if e := wantKind(t, err, signer.KindStore); e.Retry == 0 || !strings.Contains(e.Detail, "the audit log cannot be signed") {
			t.Errorf("got %q, retry %s", e.Detail, e.Retry)
		}
		k.set(nil, true, false)
		before := time.Now()
		_, err = r.submit(release(2), alice, "")
		wantKind(t, err, signer.KindStore)
		if d := time.Since(before); d > 3*time.Second {
			t.Errorf("a key that hangs held the request for %s", d)
		}
		k.set(nil, false, false)
		if got := r.mustSubmit(release(2), alice); got.State != signer.Signed {
			t.Errorf("after the second return: %s", got.State)
		}
	})
}

// A result that was made while the log's key went away is kept until the key is
// back.
func TestResultWaitsForTheLogKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		k := r.withLogKey()
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(f *faultyKey) {
			f.faultInUse = func() error { k.set(signer.ErrUnavailable, false, false); return nil }
		})
		req, err := r.core.Submit(t.Context(), release(1), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		k.set(nil, false, false)
		if got, err := r.core.Wait(t.Context(), req.ID); err != nil || got.State != signer.Signed {
			t.Errorf("got %+v, %v, want it signed", got, err)
		}
	})
}

func TestLogSignerSignsCheckpointsOnly(t *testing.T) {
	r := newRig(t)
	k := r.withLogKey()
	for _, other := range []string{"", "hello\n", "example.com/signer-test\n7\n"} {
		if _, err := r.logKey.Sign([]byte(other)); err == nil || len(k.signed) > 0 {
			t.Errorf("%q: error %v, the key signed %q", other, err, k.signed)
		}
	}
	msg, err := audit.SignCheckpoint(tlog.Tree{N: 3}, r.logKey)
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := audit.OpenCheckpoint(msg, r.verifier); err != nil || tree.N != 3 {
		t.Errorf("got %v, %v", tree, err)
	}
	k.set(nil, false, true)
	if _, err := audit.SignCheckpoint(tlog.Tree{N: 3}, r.logKey); !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("a wrong signature: %v, want it refused", err)
	}
}
