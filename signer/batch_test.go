package signer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// batch is a request with n files, each with a digest of its own.
func batch(n int) signer.Submission {
	sub := submission()
	for i := range n {
		var d capgo.Digest
		binary.BigEndian.PutUint32(d[:], uint32(i+1))
		sub.Files = append(sub.Files, signer.File{Name: fmt.Sprintf("f%d.js", i), Digest: d})
	}
	return sub
}

// A large request is signed in pieces side by side, by whichever replica is well,
// and comes back in order.
func TestBatchIsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const files = 1600
		r.config.MaxFiles = files
		spare := r.withSpare()
		r.start()
		r.mustSubmit(submission(), bob)
		var used atomic.Int32
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error {
				if used.Add(1) == 3 {
					return away() // in the middle
				}
				return nil
			}
		})
		sub := batch(files)
		got := r.mustSubmit(sub, alice)
		if got.State != signer.Signed {
			t.Fatalf("%s: %s", got.State, got.Reason)
		}
		pub := publicKey(t, testKey())
		for i, f := range sub.Files {
			p, err := capgo.ChecksumPayload(f.Digest, sub.Format)
			if err != nil {
				t.Fatal(err)
			}
			if err := pub.Verify(p, got.Result.Files[i]); err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
		}
		if spare.used() == 0 {
			t.Error("the spare did not take over in the middle")
		}
		// The weakest of the two custodies is claimed.
		if got.Result.Custody.Level != signer.NonExtractable {
			t.Errorf("custody %q", got.Result.Custody.Level)
		}
		if n := len(r.leaves(audit.LeafSigned)); n != 2 {
			t.Errorf("the log has %d signatures, want one entry for each request", n)
		}
	})
}

// A request that is being signed can be taken back; nothing of it leaves.
func TestBatchIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const files = 1100
		r.config.MaxFiles = files
		r.start()
		r.mustSubmit(submission(), bob)
		block := make(chan struct{})
		var pieces atomic.Int32
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error {
				if pieces.Add(1) == 2 {
					<-block
				}
				return nil
			}
		})
		req, err := r.core.Submit(t.Context(), batch(files), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		for signed := 0; signed < 512; {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			var total int
			if signed, total = r.core.Progress(req.ID); total != files+2 {
				t.Fatalf("progress %d of %d, want of %d", signed, total, files+2)
			}
		}
		if _, err := r.core.Cancel(t.Context(), req.ID, bob); err == nil {
			t.Error("somebody else's request was cancelled")
		}
		got, err := r.core.Cancel(t.Context(), req.ID, alice)
		if err != nil || got.State != signer.Cancelled {
			t.Fatalf("got %+v, %v", got, err)
		}
		close(block)
		synctest.Wait()
		got, err = r.core.Wait(t.Context(), req.ID)
		if err != nil || got.State != signer.Cancelled || got.Result != nil {
			t.Errorf("got %+v, %v, want it cancelled and without a result", got, err)
		}
		if done, total := r.core.Progress(req.ID); done != 0 || total != 0 {
			t.Errorf("progress %d of %d of a cancelled request", done, total)
		}
		if a, s := len(r.leaves(audit.LeafCancelled)), len(r.leaves(audit.LeafSigned)); a != 1 || s != 1 {
			t.Errorf("the log has %d cancellations and %d signatures, want 1 and bob's", a, s)
		}
		// Its place in the queue is free, and asking again is a new request.
		again := r.mustSubmit(batch(files), alice)
		if again.State != signer.Signed || again.ID == req.ID {
			t.Errorf("asking again: %s %s", again.ID, again.State)
		}
	})
}

// A batch that makes progress may take longer than the time in which a key that
// cannot be used fails a request.
func TestSlowBatchIsNotStalled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.config.MaxFiles = 1600
		r.config.SigningTimeout = time.Minute
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error { time.Sleep(45 * time.Second); return nil }
		})
		if got := r.mustSubmit(batch(1600), alice); got.State != signer.Signed {
			t.Errorf("%s: %s", got.State, got.Reason)
		}
	})
}

// A small request does not wait for a large one before it.
func TestSmallRequestPassesALargeOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		// Waiting for its turn is not what makes a request fail.
		r.config.MaxFiles, r.config.SigningTimeout = 5000, time.Minute
		r.config.Keys[0].Concurrency = 1
		r.start()
		r.mustSubmit(submission(), bob)
		r.key.with(func(k *faultyKey) {
			k.faultInUse = func() error { time.Sleep(45 * time.Second); return nil }
		})
		large, err := r.core.Submit(t.Context(), batch(5000), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		small := r.mustSubmit(release(1), bob)
		if small.State != signer.Signed {
			t.Fatalf("the small one: %s", small.State)
		}
		if got, err := r.core.Request(t.Context(), large.ID); err != nil || got.State != signer.Authorized {
			t.Errorf("the large one is %s, %v: it came first", got.State, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := r.core.Cancel(ctx, large.ID, alice); err != nil {
			t.Error(err)
		}
	})
}
