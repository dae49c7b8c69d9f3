package secretfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
)

const content = "top secret"

func write(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		mode os.FileMode
		rule secretfile.Rule
	}{
		{0o600, secretfile.Rule{Max: 10}},
		{0o400, secretfile.Rule{Max: 10}},
		{0o440, secretfile.Rule{Max: 10, GroupRead: true}},
		{0o640, secretfile.Rule{Max: 10, GroupRead: true}},
	} {
		got, _, err := secretfile.Read(write(t, test.mode), test.rule)
		if err != nil || string(got) != content {
			t.Errorf("mode %o: %q, %v", test.mode, got, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	plain := secretfile.Rule{Max: 100}
	for _, test := range []struct {
		name string
		make func(t *testing.T) string
		rule secretfile.Rule
		want string
	}{
		{"group may read", func(t *testing.T) string { return write(t, 0o640) }, plain, "permissions 0640, want 0600"},
		{"others may read", func(t *testing.T) string { return write(t, 0o604) }, plain, "permissions 0604"},
		{"others may execute", func(t *testing.T) string { return write(t, 0o601) }, plain, "permissions 0601"},
		{"group may write", func(t *testing.T) string { return write(t, 0o660) }, secretfile.Rule{Max: 100, GroupRead: true}, "at most 0640"},
		{"others may read, group rule", func(t *testing.T) string { return write(t, 0o644) }, secretfile.Rule{Max: 100, GroupRead: true}, "at most 0640"},
		{"too large", func(t *testing.T) string { return write(t, 0o600) }, secretfile.Rule{Max: 9}, "larger than 9 bytes"},
		{"symbolic link", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(write(t, 0o600), link); err != nil {
				t.Fatal(err)
			}
			return link
		}, plain, "symbolic link"},
		{"directory", func(t *testing.T) string { return t.TempDir() }, plain, "not a regular file"},
		{"fifo", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, plain, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := secretfile.Read(test.make(t), test.rule)
			if !errors.Is(err, secretfile.ErrRefused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, error %v; want one that contains %q", got, err, test.want)
			}
		})
	}
}

func TestReadRefusesAnotherUsersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		// Without root no file of somebody else can be made; root's own files,
		// which are trusted, are the only foreign ones at hand.
		t.Log("not root: checked with root's file only, which is trusted")
		return
	}
	path := write(t, 0o600)
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	_, _, err := secretfile.Read(path, secretfile.Rule{Max: 100})
	if !errors.Is(err, secretfile.ErrRefused) || !strings.Contains(err.Error(), "belongs to uid 12345") {
		t.Errorf("error %v, want it refused for its owner", err)
	}
}

func TestReadMissing(t *testing.T) {
	_, _, err := secretfile.Read(filepath.Join(t.TempDir(), "none"), secretfile.Rule{Max: 1})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, secretfile.ErrRefused) {
		t.Errorf("error %v, want fs.ErrNotExist and not ErrRefused", err)
	}
}

func TestIDChanges(t *testing.T) {
	path := write(t, 0o600)
	_, first, err := secretfile.Read(path, secretfile.Rule{Max: 100})
	if err != nil {
		t.Fatal(err)
	}
	same, err := secretfile.Stat(path)
	if err != nil || same != first {
		t.Errorf("Stat of an unchanged file: %+v, %v; want what Read said, %+v", same, err, first)
	}
	if err := os.Rename(write(t, 0o600), path); err != nil {
		t.Fatal(err)
	}
	replaced, err := secretfile.Stat(path)
	if err != nil || replaced == first {
		t.Errorf("a replaced file has the same ID (error %v)", err)
	}
}
