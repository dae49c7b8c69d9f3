package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit"
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
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, "example.com/store-test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return logKeys{s, v}
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
	r.Result = &signer.Result{Checksum: capgo.Signature{7}, SessionKey: capgo.WrappedKey{IV: capgo.IV{1}, Wrapped: capgo.Signature{2}}, Files: []capgo.Signature{{3}}}
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

func TestStateDirectoryOthersCanChangeIsRefused(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), keys.options(dir)); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
	if _, err := Open(t.Context(), keys.options(filepath.Join(dir, "missing"))); err == nil || !strings.Contains(err.Error(), "install -d -m 700") {
		t.Errorf("a missing directory: got %v, want how to make it", err)
	}
}

func TestRemovingFilesDoesNotUndoTheLock(t *testing.T) {
	dir := stateDir(t)
	l, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, pidName)); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := lockDir(dir); !errors.As(err, &locked) {
		t.Errorf("got %v, want that it is still locked", err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
}

// The one entry that may be earlier than the one before it.
func TestAcceptedClock(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	appendLeaf := func(l *audit.Leaf) error {
		return s.Update(t.Context(), func(tx signer.Tx) error { _, err := tx.Append(l); return err })
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start.AddDate(10, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start}); !errors.Is(err, signer.ErrClockBack) {
		t.Errorf("got %v, want ErrClockBack", err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafClock, Time: start}); err != nil {
		t.Fatal(err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start.Add(time.Second)}); err != nil {
		t.Errorf("after the clock was accepted: %v", err)
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

func TestClock(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	appendAt := func(at time.Time) (time.Time, error) {
		var got time.Time
		err := s.Update(t.Context(), func(tx signer.Tx) error {
			l := &audit.Leaf{Type: audit.LeafStarted, Time: at}
			_, err := tx.Append(l)
			got = l.Time
			return err
		})
		return got, err
	}
	if _, err := appendAt(start); err != nil {
		t.Fatal(err)
	}
	if got, err := appendAt(start.Add(-signer.ClockTolerance)); err != nil || !got.Equal(start) {
		t.Errorf("a step back within the tolerance: %v, %v, want the time of the entry before", got, err)
	}
	_, err := appendAt(start.Add(-time.Hour))
	if !errors.Is(err, signer.ErrClockBack) || !strings.Contains(err.Error(), "2026-05-01T11:00:00Z") {
		t.Errorf("got %v, want ErrClockBack that says what time it is", err)
	}
	if _, err := appendAt(start.Add(time.Second)); err != nil {
		t.Errorf("after the clock was set right: %v", err)
	}
}

func TestFullDatabaseRefusesAndHeals(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	o := keys.options(dir)
	o.MaxPages = 40
	s := openStore(t, o)
	var accepted []string
	var failure error
	for i := 0; failure == nil; i++ {
		r := request(strconv.Itoa(i))
		r.Reason = strings.Repeat("x", 2000)
		if failure = s.Update(t.Context(), insert(r)); failure == nil {
			accepted = append(accepted, r.ID)
		}
	}
	if !errors.Is(failure, signer.ErrStoreFull) || !strings.Contains(failure.Error(), "free space") {
		t.Fatalf("got %v, want ErrStoreFull that says what to do", failure)
	}
	if got := logSize(t, s, keys); got != int64(len(accepted)) {
		t.Errorf("the log has %d entries after %d accepted requests", got, len(accepted))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir)) // there is room again
	for _, id := range accepted {
		if _, err := s.Request(t.Context(), id); err != nil {
			t.Errorf("request %s was accepted and is lost: %v", id, err)
		}
	}
	if err := s.Update(t.Context(), insert(request("new"))); err != nil {
		t.Error(err)
	}
}

// The same while it stays open: space that comes back is used without a restart.
func TestFullDatabaseHealsWithoutReopening(t *testing.T) {
	keys := newLogKeys(t)
	o := keys.options(stateDir(t))
	o.MaxPages = 40
	s := openStore(t, o)
	i := 0
	var err error
	for ; err == nil; i++ {
		r := request(strconv.Itoa(i))
		r.Reason = strings.Repeat("x", 2000)
		err = s.Update(t.Context(), insert(r))
	}
	if !errors.Is(err, signer.ErrStoreFull) {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.ExecContext(context.Background(), "PRAGMA max_page_count=1000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), insert(request("new"))); err != nil {
		t.Fatal(err)
	}
	rec, err := s.Receipt(t.Context(), int64(i-1))
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Verify(keys.verifier); err != nil {
		t.Error(err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := stateDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD_LOCK="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	keys := newLogKeys(t)
	_, err = Open(t.Context(), keys.options(dir))
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("got %v, want a LockedError that names process %d", err, cmd.Process.Pid)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	openStore(t, keys.options(dir)) // the lock went with its holder
}

func holdLock(dir string) {
	l, err := lockDir(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = l.release()
}

func TestTamperingIsFoundAtOpen(t *testing.T) {
	for name, sql := range map[string]string{
		"a hash changed":       `DROP TRIGGER leaves_no_update; UPDATE leaves SET hashes = zeroblob(32) WHERE idx = (SELECT max(idx) FROM leaves)`,
		"an entry dropped":     `DROP TRIGGER leaves_no_delete; DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)`,
		"a checkpoint dropped": `DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)`,
	} {
		t.Run(name, func(t *testing.T) {
			dir, keys := stateDir(t), newLogKeys(t)
			s := openStore(t, keys.options(dir))
			for i := range 7 {
				if err := s.Update(t.Context(), insert(request(strconv.Itoa(i)))); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.writer.conn.ExecContext(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), keys.options(dir)); !errors.Is(err, signer.ErrStoreBroken) {
				t.Errorf("got %v, want ErrStoreBroken", err)
			}
		})
	}
}

func TestLogIsAppendOnly(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	if err := s.Update(t.Context(), insert(request("r"))); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE leaves SET entry = x'00'`, `UPDATE leaves SET hashes = x'00'`, `DELETE FROM leaves`} {
		if _, err := s.writer.conn.ExecContext(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v, want a refusal", sql, err)
		}
	}
}

func TestAnotherLogKeyIsRefused(t *testing.T) {
	dir := stateDir(t)
	s := openStore(t, newLogKeys(t).options(dir))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), newLogKeys(t).options(dir))
	if err == nil || !strings.Contains(err.Error(), "another log key") {
		t.Errorf("got %v, want an error that says so", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA user_version=99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), keys.options(dir)); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("got %v, want an error that says a newer release wrote it", err)
	}
}

func TestFilesAreNobodyElses(t *testing.T) {
	dir := stateDir(t)
	s := openStore(t, newLogKeys(t).options(dir))
	if err := s.Update(t.Context(), insert(request("r"))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s, want nothing for group and others", f, info.Mode())
		}
	}
}

func TestDurabilityIsWhatTheInvariantNeeds(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(signer.Tx) error { return nil }); !errors.Is(err, signer.ErrStoreBroken) {
		t.Errorf("got %v, want ErrStoreBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
