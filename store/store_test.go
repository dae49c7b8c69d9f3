package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/audit/audittest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_HOLD_LOCK"); dir != "" {
		holdLock(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// logKeys is a log's key pair, which survives a reopening.
type logKeys struct {
	signer   note.Signer
	verifier note.Verifier
}

func newLogKeys(t testing.TB) logKeys {
	k := audittest.NewLogKey(t, "example.com/store-test")
	return logKeys{k.Signer, k.Verifier}
}

// stateDir is a folder as the daemon wants it.
func stateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (k logKeys) options(dir string) Options {
	return Options{Dir: dir, LogSigner: k.signer, LogVerifier: k.verifier}
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func request(id string) *signer.Request {
	return &signer.Request{
		ID: id, State: signer.Authorized, Fingerprint: "fp-" + id,
		Submission:  signer.Submission{AppID: "com.acme.shop", Channel: "production", Version: "1.0.0", Format: capgo.FormatHex, Digest: capgo.Digest{1}},
		Requester:   policy.Identity{UID: 1000, User: "alice"},
		SubmittedAt: start, UpdatedAt: start,
	}
}

func insert(r *signer.Request) func(signer.Tx) error {
	return func(tx signer.Tx) error {
		var err error
		if r.LeafIndex, err = tx.Append(&audit.Leaf{Type: audit.LeafAuthorized, Time: start, Request: r.ID}); err != nil {
			return err
		}
		return tx.Insert(r)
	}
}

func TestWhatWasCommittedIsThereAfterReopening(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	r := request("r1")
	r.Submission.Files, r.FileCount = []signer.File{{Name: "index.html", Digest: capgo.Digest{4}}}, 1
	r.Result = &signer.Result{KeyResult: signer.KeyResult{Checksum: capgo.Signature{7}, SessionKey: capgo.WrappedKey{IV: capgo.IV{1}, Wrapped: capgo.Signature{2}}, Files: []capgo.Signature{{3}}}}
	if err := s.Update(t.Context(), insert(r)); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx signer.Tx) error { return tx.Move(r, signer.Authorized) }); err != nil {
		t.Fatal(err)
	}
	before, err := s.Receipt(t.Context(), r.LeafIndex)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, keys.options(dir))
	got, err := s.Request(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
	for i := range 20 { // later entries do not change an earlier receipt
		if err := s.Update(t.Context(), insert(request(fmt.Sprint("later", i)))); err != nil {
			t.Fatal(err)
		}
	}
	after, err := s.Receipt(t.Context(), r.LeafIndex)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if err := after.Verify(keys.verifier); err != nil {
		t.Error(err)
	}
}

func TestFailedUpdateLeavesNothing(t *testing.T) {
	keys := newLogKeys(t)
	s := openStore(t, keys.options(stateDir(t)))
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx signer.Tx) error {
		if err := insert(request("gone"))(tx); err != nil {
			return err
		}
		if err := tx.Quarantine("k", "reason"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want the function's own error", err)
	}
	if _, err := s.Request(t.Context(), "gone"); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if q, err := s.Quarantined(t.Context()); err != nil || len(q) != 0 {
		t.Errorf("quarantine is %v, %v, want none", q, err)
	}
	if n := logSize(t, s, keys); n != 0 {
		t.Errorf("the log has %d entries, want none", n)
	}
}

func logSize(t *testing.T, s *Store, keys logKeys) int64 {
	t.Helper()
	msg, err := s.Log().Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, keys.verifier)
	if err != nil {
		t.Fatal(err)
	}
	return tree.N
}

// One caller that fails must not take those with it that share its commit.
func TestCallersOfOneCommitAreIsolated(t *testing.T) {
	keys := newLogKeys(t)
	s := openStore(t, keys.options(stateDir(t)))
	// Hold the writer so that all others end up in one batch behind it.
	hold, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(t.Context(), func(signer.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	const n = 40
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(tx signer.Tx) error {
				if err := insert(request(strconv.Itoa(i)))(tx); err != nil {
					return err
				}
				if i%2 == 1 {
					return errors.New("odd")
				}
				return nil
			})
		})
	}
	close(hold)
	wg.Wait()
	for i, err := range errs {
		_, readErr := s.Request(t.Context(), strconv.Itoa(i))
		if i%2 == 0 && (err != nil || readErr != nil) {
			t.Errorf("request %d: update %v, read %v, want both nil", i, err, readErr)
		}
		if i%2 == 1 && (err == nil || !errors.Is(readErr, signer.ErrNotFound)) {
			t.Errorf("request %d: update %v, read %v, want an error and ErrNotFound", i, err, readErr)
		}
	}
	if got := logSize(t, s, keys); got != n/2 {
		t.Errorf("the log has %d entries, want %d", got, n/2)
	}
	for i := range int64(n / 2) {
		rec, err := s.Receipt(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Verify(keys.verifier); err != nil {
			t.Error(err)
		}
	}
}

func TestMoveNeedsTheStateItCameFrom(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	r := request("r1")
	if err := s.Update(t.Context(), insert(r)); err != nil {
		t.Fatal(err)
	}
	move := func(to, from signer.State) error {
		return s.Update(t.Context(), func(tx signer.Tx) error {
			c := *r
			c.State = to
			return tx.Move(&c, from)
		})
	}
	if err := move(signer.Signed, signer.Pending); !errors.Is(err, signer.ErrMoved) {
		t.Errorf("from the wrong state: got %v, want ErrMoved", err)
	}
	if err := move(signer.Signed, signer.Authorized); err != nil {
		t.Error(err)
	}
	if err := move(signer.Failed, signer.Authorized); !errors.Is(err, signer.ErrMoved) {
		t.Errorf("twice: got %v, want ErrMoved", err)
	}
	r.ID = "unknown"
	if err := move(signer.Signed, signer.Authorized); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("unknown request: got %v, want ErrNotFound", err)
	}
}

func TestLookups(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	a, b := request("a"), request("b")
	a.Fingerprint, b.Fingerprint = "same", "same"
	b.IdempotencyKey = "idem"
	b.Requester.UID = 4294967294
	for _, r := range []*signer.Request{a, b} {
		if err := s.Update(t.Context(), insert(r)); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(t.Context(), func(tx signer.Tx) error {
		if r, err := tx.ByFingerprint("same"); err != nil || r.ID != "b" {
			t.Errorf("by fingerprint: %v, %v, want the newest, b", r, err)
		}
		if r, err := tx.ByIdempotencyKey(4294967294, "idem"); err != nil || r.ID != "b" {
			t.Errorf("by idempotency key: %v, %v, want b", r, err)
		}
		if _, err := tx.ByIdempotencyKey(1000, "idem"); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("another uid's idempotency key: %v, want ErrNotFound", err)
		}
		_, err := tx.ByFingerprint("other")
		if !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("unknown fingerprint: %v, want ErrNotFound", err)
		}
		return nil // ErrNotFound is no failure of the transaction
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A list, and what a decision looks up, must not carry megabytes of files.
func TestFilesAreReadOnlyWithTheWholeRequest(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	r := request("r1")
	r.IdempotencyKey = "idem"
	r.Submission.Files = []signer.File{{Name: "index.html", Digest: capgo.Digest{4}}}
	if err := s.Update(t.Context(), insert(r)); err != nil {
		t.Fatal(err)
	}
	list, err := s.Requests(t.Context(), signer.Filter{})
	if err != nil || len(list) != 1 || len(list[0].Submission.Files) != 0 {
		t.Errorf("a list has %+v, %v, want the request without its files", list, err)
	}
	err = s.Update(t.Context(), func(tx signer.Tx) error {
		for _, look := range []func() (*signer.Request, error){
			func() (*signer.Request, error) { return tx.Request("r1") },
			func() (*signer.Request, error) { return tx.ByFingerprint(r.Fingerprint) },
			func() (*signer.Request, error) { return tx.ByIdempotencyKey(1000, "idem") },
		} {
			if got, err := look(); err != nil || len(got.Submission.Files) != 0 {
				t.Errorf("a transaction sees %+v, %v, want the request without its files", got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Request(t.Context(), "r1"); err != nil || len(got.Submission.Files) != 1 {
		t.Errorf("the whole request is %+v, %v, want its file", got, err)
	}
}

func TestOneRequestUnderSeveralNames(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	r := request("r1")
	r.IdempotencyKey = "first"
	if err := s.Update(t.Context(), insert(r)); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(tx signer.Tx) error { return tx.Name(1000, "second", "r1") })
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx signer.Tx) error {
		for _, name := range []string{"first", "second"} {
			if got, err := tx.ByIdempotencyKey(1000, name); err != nil || got.ID != "r1" {
				t.Errorf("under %q: %v, %v, want r1", name, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRequestsFilters(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	for i := range 10 {
		r := request(strconv.Itoa(i))
		if i%2 == 0 {
			r.State = signer.Denied
		}
		if i >= 6 {
			r.Submission.AppID = "com.acme.other"
		}
		if err := s.Update(t.Context(), insert(r)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		filter signer.Filter
		want   string
	}{
		{signer.Filter{}, "9 8 7 6 5 4 3 2 1 0"},
		{signer.Filter{Limit: 3}, "9 8 7"},
		{signer.Filter{Before: 4}, "2 1 0"},
		{signer.Filter{States: []signer.State{signer.Denied}}, "8 6 4 2 0"},
		{signer.Filter{States: []signer.State{signer.Denied, signer.Authorized}, AppID: "com.acme.other"}, "9 8 7 6"},
		{signer.Filter{States: []signer.State{signer.Signed}}, ""},
	} {
		got, err := s.Requests(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		if strings.Join(ids, " ") != c.want {
			t.Errorf("%+v: got %v, want %s", c.filter, ids, c.want)
		}
	}
}
