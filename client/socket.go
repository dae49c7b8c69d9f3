package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Unreachable is a way in which a daemon cannot be reached.
type Unreachable string

// The ways.
const (
	NoSocket     Unreachable = "no such socket"
	NotASocket   Unreachable = "not a socket"
	PathTooLong  Unreachable = "socket path too long"
	NotListening Unreachable = "nobody listens"
	NoPermission Unreachable = "permission denied"
	Overloaded   Unreachable = "too many connections are waiting"
	Lost         Unreachable = "connection lost"
	NoAnswer     Unreachable = "no answer in time"
	BadAddress   Unreachable = "not an address of a daemon"
	NoSSH        Unreachable = "the ssh program was not found"
	SSHFailed    Unreachable = "ssh did not get through"
	NoProgram    Unreachable = "bundlesign was not found there"
	OtherReason  Unreachable = "cannot connect"
)

// UnreachableError says that no daemon answered at the socket, and what was
// found there instead.
type UnreachableError struct {
	Socket string
	Reason Unreachable
	Detail string // more about it, or ""
	Group  string // with NoPermission: the group whose members may pass, or ""
	Err    error
}

func (e *UnreachableError) Error() string {
	s := fmt.Sprintf("bundlesignd at %s: %s", e.Socket, e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// maxSocketPath is the longest path of a Unix socket on Linux, in bytes: the 108
// of sockaddr_un.sun_path less the final zero.
const maxSocketPath = 107

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	switch {
	case c.badAddress != nil:
		return nil, c.badAddress
	case c.ssh != nil:
		return dialSSH(ctx, c.ssh)
	}
	return dialUnix(ctx, c.socket)
}

// dialUnix connects to a Unix socket.
func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	path := socket
	if _, target, err := address(socket); err != nil {
		return nil, err
	} else if target != nil {
		return nil, &UnreachableError{Socket: socket, Reason: BadAddress, Detail: "want the path of a Unix socket on this machine"}
	}
	if len(path) > 0 && path[0] == '@' {
		path = "./" + path // a file of that name, never the abstract namespace
	}
	if len(path) > maxSocketPath {
		return nil, &UnreachableError{
			Socket: socket, Reason: PathTooLong, Err: syscall.ENAMETOOLONG,
			Detail: fmt.Sprintf("found %d bytes, want at most %d", len(path), maxSocketPath),
		}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, diagnose(path, err)
	}
	return conn, nil
}

// diagnose turns the error of connect(2) into what a person needs to know.
func diagnose(path string, err error) *UnreachableError {
	e := &UnreachableError{Socket: path, Reason: OtherReason, Err: err}
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		e.Reason = NoSocket
	case errors.Is(err, syscall.ECONNREFUSED):
		// Linux says "refused" for any file that is not a socket, too.
		e.Reason = NotListening
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().Type() != fs.ModeSocket {
			e.Reason = NotASocket
		}
	case errors.Is(err, syscall.EACCES):
		e.Reason = NoPermission
		e.Detail, e.Group = whoMayPass(path)
	case errors.Is(err, syscall.EAGAIN):
		e.Reason = Overloaded
	case errors.Is(err, syscall.EPROTOTYPE):
		e.Reason = NotASocket
		e.Detail = "it is a socket, but not of type SOCK_STREAM"
	default:
		e.Detail = err.Error()
	}
	return e
}

// whoMayPass finds which part of path keeps the caller out, and which group
// would be let through.
func whoMayPass(path string) (detail, group string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", ""
	}
	// What cannot be examined is behind a directory that cannot be searched:
	// the first that can be examined, from the socket upwards, is the obstacle.
	for p := abs; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			if p == filepath.Dir(p) {
				return "", ""
			}
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return "", ""
		}
		group = groupName(st.Gid)
		detail = fmt.Sprintf("%s belongs to %s:%s with mode %04o, and you are uid %d",
			p, userName(st.Uid), group, info.Mode().Perm(), os.Geteuid())
		need := fs.FileMode(0o020) // connect(2) wants to write to a socket
		if info.IsDir() {
			need = 0o010 // and to search its directories
		}
		if info.Mode().Perm()&need == 0 {
			group = ""
		}
		return detail, group
	}
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}
