package pinrecord_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
)

func prod() pinrecord.Token {
	return pinrecord.Token{Label: "prod HSM/1", Manufacturer: "m", Model: "o", Serial: "s"}
}

func at() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// life is a daemon from its start to its end.
func life(dir string) *pinrecord.Store { return pinrecord.New(dir, at) }

func try(pin string) *pinrecord.Try {
	return &pinrecord.Try{Token: prod(), Module: "/m.so", PIN: []byte(pin)}
}

func begin(t *testing.T, s *pinrecord.Store, try *pinrecord.Try) *pinrecord.Attempt {
	t.Helper()
	a, err := s.Begin(t.Context(), try)
	if err != nil {
		t.Fatalf("an attempt that is harmless: %v", err)
	}
	return a
}

func wantBlocked(t *testing.T, s *pinrecord.Store, try *pinrecord.Try, why pinrecord.Why) {
	t.Helper()
	for _, ask := range []func() error{
		func() error {
			a, err := s.Begin(t.Context(), try)
			if err == nil {
				a.NoAnswer()
			}
			return err
		},
		func() error { return s.Blocked(try.PIN) }, // which knows by now
	} {
		var blocked *pinrecord.BlockedError
		if err := ask(); !errors.As(err, &blocked) || blocked.Why != why || blocked.ID != prod().ID() {
			t.Errorf("error %v, want one of kind %d", err, why)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// both runs a test with records on disk and in memory. Only those on disk outlive
// what again returns first.
func both(t *testing.T, f func(t *testing.T, again func() *pinrecord.Store)) {
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pins")
		f(t, func() *pinrecord.Store { return life(dir) })
	})
	t.Run("memory", func(t *testing.T) {
		s := life("")
		f(t, func() *pinrecord.Store { return s })
	})
}

func TestRefusedPINIsNotTriedAgain(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		must(t, begin(t, again(), try("wrong")).Refused())
		for range 3 {
			wantBlocked(t, again(), try("wrong"), pinrecord.Refused)
		}
		must(t, begin(t, again(), try("wrong too")).Refused())
		wantBlocked(t, again(), try("wrong"), pinrecord.Refused)
		wantBlocked(t, again(), try("wrong too"), pinrecord.Refused)
		must(t, begin(t, again(), try("right")).Accepted())
		must(t, begin(t, again(), try("right")).Accepted())
	})
}

// TestNoAnswer has a daemon die with an attempt under way.
func TestNoAnswer(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		begin(t, again(), try("wrong")).NoAnswer()
		for range 3 {
			wantBlocked(t, again(), try("wrong"), pinrecord.Unknown)
		}
		// Another PIN may be tried, and then that one counts as refused.
		a := begin(t, again(), try("right"))
		must(t, a.NotMade())
		wantBlocked(t, again(), try("wrong"), pinrecord.Unknown)
		must(t, begin(t, again(), try("other")).Refused())
		wantBlocked(t, again(), try("wrong"), pinrecord.Refused)
	})
}

func TestNoAnswerOfAGoodPIN(t *testing.T) {
	dir := t.TempDir()
	good := func() *pinrecord.Try {
		q := try("good")
		q.Source = "file 1"
		return q
	}
	must(t, begin(t, life(dir), good()).Accepted())
	for range 5 {
		begin(t, life(dir), good()).NoAnswer()
	}
	wantBlocked(t, life(dir), good(), pinrecord.Unknown) // there is an end to it
	must(t, pinrecord.Clear(dir, prod().ID()))
	must(t, begin(t, life(dir), good()).Accepted())

	begin(t, life(dir), good()).NoAnswer()
	moved := good()
	moved.Source = "file 2"
	wantBlocked(t, life(dir), moved, pinrecord.Unknown)
	low := good()
	low.CountLow = true
	wantBlocked(t, life(dir), low, pinrecord.Refused) // the token knows better
	low.CountLow = false
	wantBlocked(t, life(dir), low, pinrecord.Refused) // and that is not forgotten
}

// TestNoAnswerInOneLife has the PIN come from where a restart cannot tell whether it
// is the same: within one life it can.
func TestNoAnswerInOneLife(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		s := again()
		must(t, begin(t, s, try("good")).Accepted())
		begin(t, s, try("good")).NoAnswer()
		must(t, begin(t, s, try("good")).Accepted())
		begin(t, s, try("other")).NoAnswer()
		wantBlocked(t, s, try("other"), pinrecord.Unknown)
	})
}

func TestUnclear(t *testing.T) {
	t.Run("unproved", func(t *testing.T) {
		both(t, func(t *testing.T, again func() *pinrecord.Store) {
			for range 5 {
				must(t, begin(t, again(), try("who knows")).Unclear())
			}
			wantBlocked(t, again(), try("who knows"), pinrecord.Unknown)
		})
	})
	t.Run("proved", func(t *testing.T) {
		s := life(t.TempDir())
		must(t, begin(t, s, try("good")).Accepted())
		for range 20 {
			must(t, begin(t, s, try("good")).Unclear())
		}
		must(t, begin(t, s, try("good")).Accepted())
	})
	t.Run("count low", func(t *testing.T) {
		s := life(t.TempDir())
		must(t, begin(t, s, try("wrong")).Unclear())
		low := try("wrong")
		low.CountLow = true
		wantBlocked(t, s, low, pinrecord.Refused)
	})
	t.Run("count low from before", func(t *testing.T) {
		low := try("right")
		low.CountLow = true
		must(t, begin(t, life(t.TempDir()), low).Accepted()) // somebody else's mistake
	})
}

func TestNotMade(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		for range 10 {
			must(t, begin(t, again(), try("right")).NotMade())
		}
		must(t, begin(t, again(), try("wrong")).Refused())
		must(t, begin(t, again(), try("right")).NotMade())
		wantBlocked(t, again(), try("wrong"), pinrecord.Refused)
	})
}

func TestRefuseAfterLogin(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		must(t, begin(t, again(), try("good once")).Accepted())
		must(t, again().Refuse(t.Context(), try("good once")))
		wantBlocked(t, again(), try("good once"), pinrecord.Refused)
	})
}

func TestTooManyRefused(t *testing.T) {
	s := life("") // in memory: the digests of a directory take their time
	for i := range 16 {
		must(t, begin(t, s, try(strings.Repeat("x", i+1))).Refused())
	}
	wantBlocked(t, s, try("right"), pinrecord.TooMany)
}

// TestNothingOfAGoodPIN reads what is on the disk: after a good login there is
// nothing that could be tried against, at no time the PIN itself, and no two
// digests of one PIN are alike.
func TestNothingOfAGoodPIN(t *testing.T) {
	const pin = "4711-is-the-pin"
	files := func(dir string) []byte {
		var all []byte
		must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v; want 0600", path, info.Mode(), err)
			}
			data, err := os.ReadFile(path)
			all = append(all, data...)
			return err
		}))
		return all
	}
	dir, other := filepath.Join(t.TempDir(), "pins"), t.TempDir()
	a := begin(t, life(dir), try(pin))
	during := files(dir)
	if !bytes.Contains(during, []byte(`"pending"`)) {
		t.Errorf("the attempt is not recorded: %s", during)
	}
	b := begin(t, life(other), try(pin))
	if bytes.Equal(during, files(other)) {
		t.Error("two records of one PIN are the same")
	}
	must(t, b.Refused())
	if bytes.Contains(during, []byte("4711")) || bytes.Contains(files(other), []byte("4711")) {
		t.Error("the PIN is on the disk")
	}
	must(t, a.Accepted())
	if left := files(dir); len(left) > 0 {
		t.Errorf("after a good login there is %s", left)
	}
	q := try(pin)
	q.Source = "1:2:3"
	must(t, begin(t, life(dir), q).Accepted())
	if left := files(dir); bytes.Contains(left, []byte("salt")) || bytes.Contains(left, []byte("pending")) || !bytes.Contains(left, []byte("1:2:3")) {
		t.Errorf("after a good login from a file there is %s", left)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestWhatCannotBeRecordedIsNotTried(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	readable := t.TempDir()
	must(t, os.WriteFile(filepath.Join(readable, prod().ID()+".json"), []byte("{}"), 0o644))
	link := t.TempDir()
	must(t, os.Symlink("/dev/null", filepath.Join(link, prod().ID()+".lock")))
	for name, dir := range map[string]string{
		"a file for the directory": file,
		"no parent":                file + "/none/pins",
		"others may read it":       readable,
		"the lock is a link":       link,
	} {
		if _, err := life(dir).Begin(t.Context(), try("right")); !errors.Is(err, pinrecord.ErrNotRecorded) {
			t.Errorf("%s: error %v, want %v", name, err, pinrecord.ErrNotRecorded)
		}
	}
}

// TestDamage has somebody or something change the record.
func TestDamage(t *testing.T) {
	for _, content := range []string{"", "{", "null", `{"version":2}`, `{"version":1,"x":1}`, `{"version":1}{}`, "\x00\x00"} {
		dir := t.TempDir()
		path := filepath.Join(dir, prod().ID()+".json")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := life(dir).Begin(t.Context(), try("right"))
		var blocked *pinrecord.BlockedError
		if !errors.As(err, &blocked) || blocked.Why != pinrecord.Damaged {
			t.Errorf("record %q: error %v, want it to say that it is damaged", content, err)
		}
		all, err := pinrecord.List(dir)
		if err != nil || len(all) != 1 || all[0].Damaged == "" || all[0].Clean() {
			t.Errorf("record %q is listed as %+v, %v", content, all, err)
		}
		must(t, pinrecord.Clear(dir, prod().ID()))
		must(t, begin(t, life(dir), try("right")).Accepted())
	}
}

// TestOneAtATime has two daemons on one token: the second waits for the outcome of
// the first.
func TestOneAtATime(t *testing.T) {
	both(t, func(t *testing.T, again func() *pinrecord.Store) {
		first, second := again(), again()
		a := begin(t, first, try("wrong"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := second.Begin(ctx, try("wrong")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside an attempt: error %v, want it to wait for its end", err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := second.Begin(context.Background(), try("wrong"))
			done <- err
		}()
		must(t, a.Refused())
		var blocked *pinrecord.BlockedError
		if err := <-done; !errors.As(err, &blocked) || blocked.Why != pinrecord.Refused {
			t.Errorf("after it: %v", err)
		}
	})
}

func TestListAndClear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	if all, err := pinrecord.List(dir); err != nil || len(all) != 0 {
		t.Errorf("of no directory: %v, %v", all, err)
	}
	if err := pinrecord.Clear(dir, prod().ID()); !errors.Is(err, pinrecord.ErrNoRecord) {
		t.Errorf("clearing nothing: %v", err)
	}
	s := life(dir)
	a := begin(t, s, try("wrong"))
	all, err := pinrecord.List(dir)
	if err != nil || len(all) != 1 || !all[0].Unanswered {
		t.Errorf("during an attempt: %+v, %v", all, err)
	}
	if err := pinrecord.Clear(dir, prod().ID()); !errors.Is(err, pinrecord.ErrBusy) {
		t.Errorf("clearing during an attempt: %v", err)
	}
	must(t, a.Refused())
	want := pinrecord.Summary{ID: prod().ID(), Token: prod(), Module: "/m.so", Time: at(), Refused: 1}
	if all, err = pinrecord.List(dir); err != nil || len(all) != 1 || all[0] != want || all[0].Clean() {
		t.Errorf("listed as %+v, %v\nwant %+v", all, err, want)
	}
	for _, id := range []string{"", "../" + filepath.Base(dir) + "/" + prod().ID(), prod().ID() + ".json", "none"} {
		if err := pinrecord.Clear(dir, id); !errors.Is(err, pinrecord.ErrNoRecord) {
			t.Errorf("clearing %q: %v", id, err)
		}
	}
	if s.Blocked([]byte("wrong")) == nil {
		t.Error("not blocked")
	}
	must(t, pinrecord.Clear(dir, prod().ID()))
	if err := s.Blocked([]byte("wrong")); err != nil {
		t.Errorf("a store that runs has not noticed: %v", err)
	}
	must(t, begin(t, s, try("wrong")).Accepted()) // the token's PIN was changed to it
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, token := range []pinrecord.Token{
		{},
		{Label: "a"},
		{Serial: "a"},
		{Label: "a", Serial: "b"},
		{Label: "ab"},
		{Label: "a/../b"},
		{Label: strings.Repeat("é", 16)},
		{Label: strings.Repeat("x", 32)},
		prod(),
	} {
		id := token.ID()
		if seen[id] || len(id) > 41 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			t.Errorf("%+v has the ID %q", token, id)
		}
		seen[id] = true
	}
}
