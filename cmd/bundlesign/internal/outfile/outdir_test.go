package outfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listHello knows folders that hold the file "hello" and nothing else.
func listHello(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() != "hello" {
			return nil, errors.New("found " + e.Name())
		}
	}
	return []string{"hello"}, nil
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// commit writes a folder with "hello" in it.
func commit(t *testing.T, target, text string, list Lister) error {
	t.Helper()
	d, err := CreateDir(target, list)
	if err != nil {
		return err
	}
	defer d.Discard()
	write(t, filepath.Join(d.Path(), "hello"), text)
	return d.Commit()
}

func TestDirIsWholeOrNotThere(t *testing.T) {
	parent := t.TempDir()
	target := filepath.Join(parent, "out")
	d, err := CreateDir(target+"/", listHello)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Path(), "hello"), "1")
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v before Commit, want nothing", err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	d.Discard()
	if got := readText(t, filepath.Join(target, "hello")); got != "1" {
		t.Errorf("found %q", got)
	}
	// Again: the earlier result goes, and only when the new one is there.
	if err := commit(t, target, "2", listHello); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, filepath.Join(target, "hello")); got != "2" {
		t.Errorf("found %q", got)
	}
	// And one that is given up leaves it as it was.
	if d, err = CreateDir(target, listHello); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Path(), "hello"), "3")
	d.Discard()
	if got := readText(t, filepath.Join(target, "hello")); got != "2" {
		t.Errorf("found %q", got)
	}
	if n := names(t, parent); len(n) != 1 {
		t.Errorf("found %v, want the folder alone", n)
	}
}

func TestDirReplacesAnEmptyFolder(t *testing.T) {
	target := filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := commit(t, target, "1", listHello); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, filepath.Join(target, "hello")); got != "1" {
		t.Errorf("found %q", got)
	}
}

func TestDirDeletesNothingElse(t *testing.T) {
	parent := t.TempDir()
	photos, file, link := filepath.Join(parent, "photos"), filepath.Join(parent, "file"), filepath.Join(parent, "link")
	if err := os.Mkdir(photos, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(photos, "hello"), "mine")
	write(t, filepath.Join(photos, "cat.jpg"), "mine")
	write(t, file, "mine")
	if err := os.Symlink("photos", link); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]error{
		photos: ErrOccupied, file: fs.ErrExist, link: fs.ErrExist,
		"/": fs.ErrInvalid, ".": fs.ErrInvalid, parent + "/..": nil, "..": fs.ErrInvalid, "": fs.ErrInvalid,
		filepath.Join(parent, "none", "out"): fs.ErrNotExist,
	} {
		if _, err := CreateDir(target, listHello); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: found %v, want %v", target, err, want)
		}
	}
	if n := names(t, parent); !slices.Equal(n, []string{"file", "link", "photos"}) {
		t.Errorf("found %v", n)
	}
	if n := names(t, photos); len(n) != 2 {
		t.Errorf("found %v", n)
	}
}

// What is put into the folder while the new one is made is not lost, at whatever
// moment.
func TestDirThatChangesMeanwhile(t *testing.T) {
	for _, moment := range []int{2, 3, 4} { // calls of list: the first is at Create, then at Commit, after the exchange, to remove
		parent := t.TempDir()
		target := filepath.Join(parent, "out")
		if err := commit(t, target, "old", listHello); err != nil {
			t.Fatal(err)
		}
		calls := 0
		list := func(dir string) ([]string, error) {
			if calls++; calls == moment {
				write(t, filepath.Join(dir, "mine"), "mine")
			}
			return listHello(dir)
		}
		err := commit(t, target, "new", list)
		if err == nil {
			t.Fatalf("moment %d: nothing was noticed", moment)
		}
		var found []string
		for _, folder := range names(t, parent) {
			for _, name := range names(t, filepath.Join(parent, folder)) {
				found = append(found, name+"="+readText(t, filepath.Join(parent, folder, name)))
			}
		}
		slices.Sort(found)
		want := []string{"hello=old", "mine=mine"}
		if moment == 4 {
			want = []string{"hello=new", "hello=old", "mine=mine"}
			if !strings.Contains(err.Error(), "was written; the folder that had this name is now "+parent) {
				t.Errorf("found %v", err)
			}
		}
		if !slices.Equal(found, want) {
			t.Errorf("moment %d: found %v, want %v", moment, found, want)
		}
	}
}

func TestDirThatAppears(t *testing.T) {
	target := filepath.Join(t.TempDir(), "out")
	d, err := CreateDir(target, listHello)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Path(), "hello"), "new")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(target, "cat.jpg"), "mine")
	if err := d.Commit(); !errors.Is(err, ErrOccupied) {
		t.Errorf("found %v, want ErrOccupied", err)
	}
	if got := readText(t, filepath.Join(target, "cat.jpg")); got != "mine" {
		t.Errorf("found %q", got)
	}
}

// On file systems that cannot exchange two names it takes two steps, and either
// both are done or none.
func TestRenameBoth(t *testing.T) {
	dir := t.TempDir()
	name, aside, next := filepath.Join(dir, "name"), filepath.Join(dir, "aside"), filepath.Join(dir, "next")
	for _, d := range []string{name, next} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(d, "was"), filepath.Base(d))
	}
	if err := renameBoth(name, aside, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v", err)
	}
	if got := readText(t, filepath.Join(name, "was")); got != "name" {
		t.Errorf("found %q after a failure", got)
	}
	if err := renameBoth(name, aside, next); err != nil {
		t.Fatal(err)
	}
	if a, b := readText(t, filepath.Join(name, "was")), readText(t, filepath.Join(aside, "was")); a != "next" || b != "name" {
		t.Errorf("found %q and %q", a, b)
	}
}
