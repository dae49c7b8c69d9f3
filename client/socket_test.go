package client

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestUnreachableSaysWhatIsAtTheSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A socket that nobody serves any more, as kill -9 leaves it.
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	datagram := filepath.Join(dir, "datagram")
	pc, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()

	for _, tc := range []struct {
		path string
		want Unreachable
	}{
		{filepath.Join(dir, "none"), NoSocket},
		{filepath.Join(file, "below-a-file"), NoSocket},
		{file, NotASocket},
		{datagram, NotASocket},
		{stale, NotListening},
		{"@" + filepath.Base(dir), NoSocket},
		{filepath.Join(dir, strings.Repeat("x", 108)), PathTooLong},
	} {
		_, err := New(tc.path).Status(t.Context())
		var gone *UnreachableError
		if !errors.As(err, &gone) || gone.Reason != tc.want {
			t.Errorf("%s: found %v, want %q", tc.path, err, tc.want)
		}
	}
}

// asNobody runs f in a thread that has no more rights to files than the user
// nobody.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := errors.Join(syscall.Setfsgid(65534), syscall.Setfsuid(65534))
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPermissionDeniedNamesTheGroup(t *testing.T) {
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	group := groupName(uint32(os.Getegid()))

	for _, tc := range []struct {
		name      string
		dir, sock os.FileMode
		at, group string
	}{
		{"socket for its group", 0o755, 0o060, path, group},
		{"socket for its owner", 0o755, 0o000, path, ""},
		{"folder for its group", 0o010, 0o666, dir, group},
		{"folder for nobody", 0o000, 0o666, dir, ""},
	} {
		if err := errors.Join(os.Chmod(path, tc.sock), os.Chmod(dir, tc.dir)); err != nil {
			t.Fatal(err)
		}
		var dialErr error
		asNobody(t, func() {
			conn, err := net.Dial("unix", path)
			if err == nil {
				_ = conn.Close()
				return
			}
			dialErr = diagnose(path, err)
		})
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var gone *UnreachableError
		if !errors.As(dialErr, &gone) || gone.Reason != NoPermission {
			t.Errorf("%s: found %v, want that permission is denied", tc.name, dialErr)
			continue
		}
		if gone.Group != tc.group || !strings.Contains(gone.Detail, tc.at+" belongs to ") {
			t.Errorf("%s: found group %q and %q, want group %q and the obstacle %s", tc.name, gone.Group, gone.Detail, tc.group, tc.at)
		}
	}
}
