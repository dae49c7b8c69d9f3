package signer_test

import (
	"crypto/sha256"
	"encoding/hex"
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
			for i := range 70 {
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
