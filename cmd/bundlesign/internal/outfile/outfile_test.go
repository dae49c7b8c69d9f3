package outfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// names lists what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestNothingUnderTheNameBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "out")
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Create(target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(target); string(b) != "old" {
		t.Errorf("found %q before Commit, want the old file", b)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	if b, _ := os.ReadFile(target); string(b) != "new" {
		t.Errorf("found %q after Commit, want the new file", b)
	}
	if n := names(t, dir); len(n) != 1 {
		t.Errorf("found %v, want the target alone", n)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	if n := names(t, dir); len(n) != 0 {
		t.Errorf("found %v, want nothing", n)
	}
}

func TestCommitThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "out")
	f, err := Create(target)
	if err != nil {
		t.Fatal(err)
	}
	// A folder that appears under the name cannot be replaced by a file.
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("Commit replaced a folder")
	}
	if n := names(t, dir); len(n) != 1 || n[0] != "out" {
		t.Errorf("found %v, want the folder alone", n)
	}
}

func TestCreateRefusesWhatIsNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("elsewhere", link); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{dir, link, "/dev/full"} {
		if _, err := Create(target); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: found %v, want ErrNotRegular", target, err)
		}
	}
	if _, err := Create(filepath.Join(dir, "none", "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want that the folder does not exist", err)
	}
}

func TestReplaceKeepsThePermissions(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "out")
	if err := Replace(target, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v without a file to replace, want fs.ErrNotExist", err)
	}
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o751); err != nil {
		t.Fatal(err)
	}
	if err := Replace(target, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(target)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(target); string(b) != "new" || info.Mode().Perm() != 0o751 {
		t.Errorf("found %q with mode %v, want the new file with 0751", b, info.Mode())
	}
	if n := names(t, dir); len(n) != 1 {
		t.Errorf("found %v, want the target alone", n)
	}
}
