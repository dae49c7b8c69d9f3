package logtree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

// source is a daemon with a log, and a folder for copies of it.
type source struct {
	daemon  *clienttest.FakeDaemon
	client  *client.Client
	dir     Dir
	old     tlog.Tree // of the copy
	fetched []int64   // bundles, in order
}

func newSource(t *testing.T, entries int) *source {
	t.Helper()
	d, err := clienttest.NewFakeDaemon(filepath.Join(t.TempDir(), "s"), clienttest.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	d.Grow(entries)
	s := &source{daemon: d, client: client.New(d.Socket()), dir: Dir(filepath.Join(t.TempDir(), "copy"))}
	t.Cleanup(s.client.Close)
	return s
}

func (s *source) tree(t *testing.T) ([]byte, tlog.Tree) {
	t.Helper()
	msg, err := s.client.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(s.daemon.LogKey())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, verifier)
	if err != nil {
		t.Fatal(err)
	}
	return msg, tree
}

func (s *source) fetch(ctx context.Context, n int64, width int) ([][]byte, error) {
	s.fetched = append(s.fetched, n)
	return s.client.EntryBundle(ctx, n, width)
}

// export brings the copy up to the log.
func (s *source) export(t *testing.T) (int64, error) {
	t.Helper()
	s.fetched = nil
	msg, tree := s.tree(t)
	fresh, err := s.dir.Export(t.Context(), msg, tree, s.old, s.fetch)
	if err == nil {
		s.old = tree
	}
	return fresh, err
}

func (s *source) mustExport(t *testing.T) int64 {
	t.Helper()
	fresh, err := s.export(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Verify(t.Context(), s.old); err != nil {
		t.Fatalf("after the export: %v", err)
	}
	return fresh
}

// files lists the copy.
func (s *source) files(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(string(s.dir), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(string(s.dir), path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExportGrowsWithTheLog(t *testing.T) {
	s := newSource(t, 0)
	for _, step := range []struct {
		grow   int
		bundle []int64 // that may be asked for
	}{
		{0, nil},
		{1, []int64{0}},
		{0, nil},
		{254, []int64{0}},
		{1, []int64{0}},
		{300, []int64{1, 2}},
		{256, []int64{2, 3}},
	} {
		s.daemon.Grow(step.grow)
		if fresh := s.mustExport(t); fresh != int64(step.grow) {
			t.Errorf("found %d new entries, want %d", fresh, step.grow)
		}
		slices.Sort(s.fetched)
		if found := slices.Compact(s.fetched); !slices.Equal(found, step.bundle) {
			t.Errorf("%d entries: bundles %v were fetched, want %v", s.old.N, found, step.bundle)
		}
	}
	want := []string{
		"checkpoint", "tile/0/000", "tile/0/001", "tile/0/002", "tile/0/003.p/44", "tile/1/000.p/3",
		"tile/entries/000", "tile/entries/001", "tile/entries/002", "tile/entries/003.p/44",
	}
	if found := s.files(t); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

func TestExportGoesOnAfterAnInterruption(t *testing.T) {
	s := newSource(t, 1000)
	msg, tree := s.tree(t)
	errStop := errors.New("interrupted")
	_, err := s.dir.Export(t.Context(), msg, tree, tlog.Tree{}, func(ctx context.Context, n int64, width int) ([][]byte, error) {
		if n == 2 {
			return nil, errStop
		}
		return s.fetch(ctx, n, width)
	})
	if !errors.Is(err, errStop) {
		t.Fatalf("found %v, want the interruption", err)
	}
	if _, err := s.dir.Checkpoint(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy that is not whole has a checkpoint (error %v)", err)
	}
	s.mustExport(t)
	if !slices.Equal(s.fetched, []int64{2, 3}) {
		t.Errorf("bundles %v were fetched, want those that were missing", s.fetched)
	}
}

func TestExportReplacesLeftoversThatAreNotOfTheLog(t *testing.T) {
	s := newSource(t, 300)
	if err := os.MkdirAll(filepath.Join(string(s.dir), "tile/entries"), 0o755); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for range 256 {
		data, _ = client.AppendEntry(data, []byte(`{"v":1,"type":"started","time":"2026-01-01T00:00:00Z"}`))
	}
	if err := os.WriteFile(filepath.Join(string(s.dir), "tile/entries/000"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s.mustExport(t)
}

func TestExportRefusesARewrittenLog(t *testing.T) {
	for name, grow := range map[string]int{"same size": 0, "one more": 1, "many more": 1000} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{5, 256, 300, 600} {
				s := newSource(t, size)
				s.mustExport(t)
				s.daemon.Rewrite()
				s.daemon.Grow(grow)
				_, err := s.export(t)
				var rewritten *RewrittenError
				if !errors.As(err, &rewritten) {
					t.Errorf("%d entries: found %v, want a RewrittenError", size, err)
				}
				if err := s.dir.Verify(t.Context(), s.old); err != nil {
					t.Errorf("%d entries: the old copy is damaged: %v", size, err)
				}
			}
		})
	}
	t.Run("shorter", func(t *testing.T) {
		s := newSource(t, 20)
		s.old = tlog.Tree{N: 21}
		var rewritten *RewrittenError
		if _, err := s.export(t); !errors.As(err, &rewritten) {
			t.Errorf("found %v, want a RewrittenError", err)
		}
	})
}

func TestExportRefusesEntriesThatDoNotLeadToTheCheckpoint(t *testing.T) {
	s := newSource(t, 300)
	s.daemon.EditEntry(7)
	_, err := s.export(t)
	var bad *BrokenError
	if !errors.As(err, &bad) {
		t.Errorf("found %v, want a BrokenError", err)
	}
	for _, f := range s.files(t) {
		if f == "checkpoint" || strings.HasPrefix(f, "tile/entries") {
			t.Errorf("%s was kept", f)
		}
	}
}

func TestVerifyFindsEveryChangedFile(t *testing.T) {
	s := newSource(t, 600)
	s.mustExport(t)
	for _, f := range s.files(t) {
		if f == "checkpoint" {
			continue // its signature is the business of package audit
		}
		path := filepath.Join(string(s.dir), f)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(good)
		flipped[len(flipped)/2] ^= 1
		for name, data := range map[string][]byte{"a flipped bit": flipped, "cut short": good[:len(good)-1], "emptied": nil} {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			var bad *BrokenError
			if err := s.dir.Verify(t.Context(), s.old); !errors.As(err, &bad) {
				t.Errorf("%s, %s: found %v, want a BrokenError", f, name, err)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		var bad *BrokenError
		if err := s.dir.Verify(t.Context(), s.old); !errors.As(err, &bad) {
			t.Errorf("%s removed: found %v, want a BrokenError", f, err)
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.dir.Verify(t.Context(), s.old); err != nil {
		t.Error(err)
	}
}

func TestExportRefusesADamagedCopy(t *testing.T) {
	s := newSource(t, 300)
	s.mustExport(t)
	path := filepath.Join(string(s.dir), "tile/entries/000")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	s.daemon.Grow(10)
	_, err = s.export(t)
	var bad *BrokenError
	var rewritten *RewrittenError
	if !errors.As(err, &bad) || errors.As(err, &rewritten) || !strings.Contains(err.Error(), "the copy in") {
		t.Errorf("found %v, want that the copy is damaged, not that the log was rewritten", err)
	}
}

func TestVerifyRefusesWhatIsNoLeaf(t *testing.T) {
	entry := []byte("not JSON")
	want := tlog.Tree{N: 1, Hash: tlog.RecordHash(entry)}
	err := Verify(t.Context(), want, func(context.Context, int64, int) ([][]byte, error) { return [][]byte{entry}, nil })
	var bad *BrokenError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "entry 0") {
		t.Errorf("found %v, want a BrokenError about entry 0", err)
	}
}
