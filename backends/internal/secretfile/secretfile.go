// Package secretfile reads small files that hold a secret: a key or a PIN.
//
// Its invariant is that a secret is only taken from where nobody but root and
// the daemon's own user could have put it, and nobody else can read it: all
// checks are made on the open file, not on a name that may come to mean another.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrRefused says that a file is there but must not be used as it is.
var ErrRefused = errors.New("file refused")

// ID tells one state of a file from another: it changes when the file is
// written, replaced, or given other permissions.
type ID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// String writes the ID for a record that outlives the process. Two IDs are equal
// if and only if their strings are.
func (i ID) String() string {
	return fmt.Sprintf("%d:%d:%d:%d.%09d:%d.%09d", i.dev, i.ino, i.size, i.mtime.Sec, i.mtime.Nsec, i.ctime.Sec, i.ctime.Nsec)
}

// Rule is what a file must be like.
type Rule struct {
	Max int64 // bytes
	// GroupRead allows the file's group to read it. A systemd credential is
	// such a file: its access list shows as a group permission.
	GroupRead bool
}

// Read returns the content of the regular file at path and which state of it that
// was. A symbolic link is not followed, a file of another user (but root), or
// one with more permissions than the rule allows, is refused with [ErrRefused].
// Errors of the system, such as [fs.ErrNotExist], are wrapped as they are.
func Read(path string, rule Rule) ([]byte, ID, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, ID{}, fmt.Errorf("%w: %s is a symbolic link; name the file itself", ErrRefused, path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, ID{}, fmt.Errorf("%w: %s may not be read by uid %d: chown it to that user", ErrRefused, path, os.Geteuid())
	}
	if err != nil {
		return nil, ID{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()

	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, ID{}, &fs.PathError{Op: "fstat", Path: path, Err: err}
	}
	if err := rule.check(path, &st); err != nil {
		return nil, ID{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, rule.Max+1))
	if err != nil {
		return nil, ID{}, err
	}
	if int64(len(data)) > rule.Max {
		clear(data)
		return nil, ID{}, tooLarge(path, rule.Max)
	}
	return data, id(&st), nil
}

// Stat returns the state of the file at path, without following a link.
func Stat(path string) (ID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return ID{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return id(&st), nil
}

func id(st *unix.Stat_t) ID {
	return ID{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

func (r Rule) check(path string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%w: %s is not a regular file", ErrRefused, path)
	}
	if euid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != euid {
		return fmt.Errorf("%w: %s belongs to uid %d, want uid %d (this process) or root: whoever owns it can change it", ErrRefused, path, st.Uid, euid)
	}
	forbidden, want := uint32(0o077), "0600 or 0400"
	if r.GroupRead {
		forbidden, want = 0o037, "at most 0640"
	}
	if st.Mode&forbidden != 0 {
		return fmt.Errorf("%w: %s has permissions %04o, want %s: run chmod 0600 %s", ErrRefused, path, st.Mode&0o7777, want, path)
	}
	if st.Size > r.Max {
		return tooLarge(path, r.Max)
	}
	return nil
}

func tooLarge(path string, limit int64) error {
	return fmt.Errorf("%w: %s is larger than %d bytes, which no such file is", ErrRefused, path, limit)
}
