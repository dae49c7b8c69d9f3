package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A function that runs as somebody has that one's groups, all of them and no
// others, and what runs after it has what it had.
func TestDoAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if err := (&account{uid: os.Geteuid() + 1, gid: os.Getegid()}).do(func() { t.Error("it ran all the same") }); err == nil {
			t.Error("who is not root became somebody else")
		}
		return
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 0, 54321); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account account
		reads   bool
	}{
		{account{uid: 1, gid: 1}, false},
		{account{uid: 1, gid: 54321}, true},
		{account{uid: 1, gid: 1, groups: []int{2, 54321}}, true},
		{account{uid: 0, gid: 1}, true},
	} {
		var err error
		if failed := c.account.do(func() { _, err = os.ReadFile(path) }); failed != nil {
			t.Errorf("%+v: %v", c.account, failed)
		} else if c.reads != (err == nil) || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%+v: reading gives %v, want %t", c.account, err, c.reads)
		}
		if _, err := os.ReadFile(path); err != nil {
			t.Fatalf("root has lost its rights: %v", err)
		}
	}
}
