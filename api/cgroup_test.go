package api

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A peer in a cgroup of the kernel's, named as systemd would name that of a
// service, with a cgroup below it that the service made itself.
func TestUnitInARealCgroup(t *testing.T) {
	unit := fmt.Sprintf("bundlesign-test-%d.service", os.Getpid())
	fd, err := makeCgroup(t, filepath.Join("system.slice", unit, "evil.slice", "actions-runner.service"))
	if err != nil {
		// TestUnitOf has what the kernel would write.
		t.Logf("no cgroup can be made here: %v", err)
		return
	}
	defer unix.Close(fd)
	l := listenHere(t)
	a, err := playAs("connect "+l.Addr().String(), &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd})
	var refused *fs.PathError
	if errors.As(err, &refused) {
		t.Logf("no process can be started in a cgroup here: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.end() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := askKernel(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	u := &units{"/proc", zap.NewNop()}
	if got, err := u.read(p); err != nil || got != unit {
		t.Errorf("got unit %q, %v, want %s", got, err, unit)
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if got, err := u.read(p); got != "" || !errors.Is(err, errGone) {
		t.Errorf("of a process that has ended: got unit %q, %v, want none", got, err)
	}
}

// makeCgroup makes a cgroup and those above it, and returns a descriptor of it.
// Those that it made go away with the test.
func makeCgroup(t *testing.T, path string) (int, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return -1, err
	}
	dir := ""
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); strings.Contains(line, " - cgroup2 ") && len(fields) > 4 {
			dir = fields[4]
		}
	}
	if dir == "" {
		return -1, errors.New("found no cgroup2 in /proc/self/mountinfo")
	}
	for name := range strings.SplitSeq(path, "/") {
		dir = filepath.Join(dir, name)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return -1, err
		}
		made := dir
		t.Cleanup(func() { _ = os.Remove(made) })
	}
	return unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
