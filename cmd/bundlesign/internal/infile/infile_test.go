package infile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is no regular file is refused at once, also behind a link.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.Symlink("/dev/zero", link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, pipe, link, "/dev/zero"} {
		for which, open := range map[string]func(string) (*os.File, error){"Open": Open, "OpenArgument": OpenArgument} {
			f, err := open(name)
			if err == nil {
				t.Errorf("%s: %s was opened", which, f.Name())
				_ = f.Close()
			} else if !strings.Contains(err.Error(), name+" is no regular file") {
				t.Errorf("%s: found %v, want it said that it is no regular file", which, err)
			}
		}
		if err := Check(name); err == nil {
			t.Errorf("%s passes for a regular file", name)
		}
	}
	missing := filepath.Join(dir, "missing")
	if _, err := Open(missing); !errors.Is(err, fs.ErrNotExist) || !errors.Is(Check(missing), fs.ErrNotExist) {
		t.Errorf("found %v and %v for a file that is not there", err, Check(missing))
	}
}

func TestRegularFilesAreRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(name); err != nil {
		t.Error(err)
	}
	for _, open := range []func(string) (*os.File, error){Open, OpenArgument} {
		wantText(t, open, name)
	}
}

// A shell gives what <(...) writes as a pipe that is open already.
func TestProcessSubstitution(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString("text")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if f, err := Open(name); err == nil {
		t.Errorf("a pipe was opened as a file: %s", f.Name())
		_ = f.Close()
	}
	wantText(t, OpenArgument, name)
}

func wantText(t *testing.T, open func(string) (*os.File, error), name string) {
	t.Helper()
	f, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if found, err := io.ReadAll(f); err != nil || string(found) != "text" {
		t.Errorf("found %q, %v", found, err)
	}
}
