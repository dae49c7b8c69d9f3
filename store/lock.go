package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the file in the state directory whose lock means "in use". The
// kernel drops the lock when its holder dies, however it dies.
const lockName = "lock"

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

type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		locked := &LockedError{Dir: dir}
		locked.PID, locked.Command = holder(f)
		return nil, errors.Join(locked, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state directory: locking %s: %w", f.Name(), err), f.Close())
	}
	// The pid is only a hint for the message above: failing to write it, on a
	// full disk, is no reason not to start.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{f}, nil
}

// holder reads who wrote the lock file.
func holder(f *os.File) (pid int, command string) {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(string(bytes.TrimSpace(buf[:n])))
	if err != nil || pid <= 0 {
		return 0, ""
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return pid, strings.TrimSpace(string(comm))
}

func (l *dirLock) release() error { return l.file.Close() }
