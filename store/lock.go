package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidName is the file in the state directory that says who holds the lock. The
// lock is on the directory itself, so that no removed or renamed file can undo
// it, and the kernel drops it when its holder dies, however it dies.
const pidName = "pid"

// LockedError says that another process has the state directory.
type LockedError struct {
	Dir     string
	PID     int    // of the holder; 0 if it could not be told
	Command string // its name, if it could be told
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
		if e.Command != "" {
			who += " (" + e.Command + ")"
		}
	}
	return fmt.Sprintf("state directory %s is in use by %s: only one daemon may use it; stop that one first, or give this one a state_dir of its own", e.Dir, who)
}

type dirLock struct{ dir *os.File }

// lockDir takes the lock. It refuses a directory that others could change.
func lockDir(path string) (_ *dirLock, err error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; make it with: install -d -m 700 -o USER %s", err, path)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dir.Close())
		}
	}()
	info, err := dir.Stat()
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("state_dir: %s belongs to uid %d with mode %04o, want uid %d and mode 0700: chown %d %s && chmod 700 %s",
			path, uid, info.Mode().Perm(), os.Geteuid(), os.Geteuid(), path, path)
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	pidFile := filepath.Join(path, pidName)
	if errors.Is(err, unix.EWOULDBLOCK) {
		locked := &LockedError{Dir: path}
		locked.PID, locked.Command = holder(pidFile)
		return nil, locked
	}
	if err != nil {
		return nil, fmt.Errorf("state_dir: locking %s: %w", path, err)
	}
	// The pid is only a hint for the message above: failing to write it, on a
	// full disk, is no reason not to start.
	_ = os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return &dirLock{dir}, nil
}

// holder reads who wrote the pid file.
func holder(pidFile string) (pid int, command string) {
	text, _ := os.ReadFile(pidFile)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, ""
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return pid, strings.TrimSpace(string(comm))
}

func (l *dirLock) release() error { return l.dir.Close() }
