package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest path in bytes that fits into sun_path with its
// closing NUL (unix(7)).
const maxSocketPath = 107

// Listen makes the socket at path, with mode and, unless it is empty, group. A
// socket that nobody serves any more, left by a daemon that was killed, is
// replaced; one that is served, or a file of another kind, is an error.
func Listen(path string, mode fs.FileMode, group string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket.path: found %d bytes, Linux allows at most %d: %s; choose a shorter one", len(path), maxSocketPath, path)
	}
	gid := -1
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("socket.group: there is no group %q; create it, or correct the name", group)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("socket.group: group %q has the id %q, want a number", group, g.Gid)
		}
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket.path: making the socket: %w", err)
	}
	// The daemon's umask lets nobody in before this.
	if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, mode)); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: setting group and mode: %w", err), l.Close())
	}
	return l, nil
}

// removeStale removes a socket that nobody serves.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket.path: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket.path: %s exists and is not a socket; move it away, or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		pid := servedBy(c)
		_ = c.Close()
		return fmt.Errorf("socket.path: %s is already served by process %s; stop that one, or choose another path", path, pid)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("socket.path: %s exists, and whether it is served cannot be told: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("socket.path: removing the socket of a daemon that is gone: %w", err)
	}
	return nil
}

// servedBy asks the kernel which process listens at the other end.
func servedBy(c net.Conn) string {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return "(unknown)"
	}
	pid := "(unknown)"
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = strconv.Itoa(int(cred.Pid))
		}
	})
	return pid
}
