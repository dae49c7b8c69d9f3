package api

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := Listen(path, 0o620, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o620 {
		t.Errorf("mode %s, want 0620", info.Mode().Perm())
	}
	_, err = Listen(path, 0o600, "")
	if err == nil || !strings.Contains(err.Error(), "already served by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a served path: %v, want an error that names the process", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = Listen(path, 0o600, "") // a daemon that was killed leaves its socket
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	regular := filepath.Join(dir, "file")
	if err := os.WriteFile(regular, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, group, want string }{
		"too long":          {filepath.Join(dir, strings.Repeat("x", 120)), "", "at most 107"},
		"not a socket":      {regular, "", "not a socket"},
		"no such group":     {filepath.Join(dir, "s"), "no-such-group-here", `no group "no-such-group-here"`},
		"no such directory": {filepath.Join(dir, "no", "s"), "", "no such file"},
	} {
		if _, err := Listen(c.path, 0o600, c.group); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	if b, err := os.ReadFile(regular); err != nil || string(b) != "precious" {
		t.Errorf("a file in the way was touched: %q, %v", b, err)
	}
}
