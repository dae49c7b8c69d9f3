package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// trust says whose files the daemon believes: root's and its own, if nobody
// else can write them. It does not look at the folders above the one that holds
// a file; who can rename those can do as he likes anyway.
type trust struct {
	uid   int  // of the daemon
	draft bool // everybody's files are believed
}

// maxLinks is how many symbolic links a path may end in one after the other, as
// in Linux itself.
const maxLinks = 40

// read returns what the file holds, at most limit bytes, and every reason not to
// believe it. The reasons are about the very file that was read and the folders
// it was found through: each is opened, looked at, and used by descriptor, so
// nobody can swap them in between. With private, nobody else may read it either.
func (t trust) read(path string, limit int64, private bool) (data []byte, doubts []error, err error) {
	file, doubts, err := t.open(path, private)
	if err != nil {
		return nil, doubts, err
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, doubts, fmt.Errorf("reading %s: %w", path, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		return nil, doubts, fmt.Errorf("found %s, which is %s, want a file", path, kindOfFile(kind))
	}
	if st.Size > limit {
		return nil, doubts, fmt.Errorf("found %s with %d bytes, want at most %d", path, st.Size, limit)
	}
	doubts = append(doubts, t.doubts(path, &st, private)...)
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, doubts, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, doubts, fmt.Errorf("found %s with more than %d bytes, want at most that", path, limit)
	}
	return data, doubts, nil
}

// open opens the file for reading, following symbolic links one by one, and
// returns what is wrong with the folders that hold a link or the file.
func (t trust) open(path string, private bool) (*os.File, []error, error) {
	var doubts []error
	folder, from := -1, unix.AT_FDCWD
	defer func() {
		if folder >= 0 {
			unix.Close(folder)
		}
	}()
	next, shown := path, path
	for range maxLinks {
		// Split without cleaning: "link/.." is not the folder it looks like.
		dir, base := filepath.Split(next)
		if dir == "" {
			dir = "."
		}
		fd, err := unix.Openat(from, dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, doubts, t.explain(shown, private, err)
		}
		if folder >= 0 {
			unix.Close(folder)
		}
		folder, from = fd, fd
		var st unix.Stat_t
		if err := unix.Fstat(folder, &st); err != nil {
			return nil, doubts, fmt.Errorf("reading the folder of %s: %w", shown, err)
		}
		doubts = append(doubts, t.doubts(filepath.Dir(shown), &st, false)...)
		// Not blocking: a named pipe would wait for a writer, for ever.
		file, err := unix.Openat(folder, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(file), shown), doubts, nil
		}
		if !errors.Is(err, unix.ELOOP) {
			return nil, doubts, t.explain(shown, private, err)
		}
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(folder, base, target)
		if err != nil {
			return nil, doubts, t.explain(shown, private, err)
		}
		next = string(target[:n])
		shown = absolute(next, filepath.Dir(shown))
	}
	return nil, doubts, fmt.Errorf("found more than %d symbolic links one after the other at %s, want a file", maxLinks, path)
}

// explain says what to do about a file that cannot be opened.
func (t trust) explain(path string, private bool, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("found no file %s", path)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("found no file %s: a part of its path is not a folder", path)
	case errors.Is(err, unix.EACCES):
		return t.blocked(path, private)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

// doubts returns the reasons not to believe a file or folder.
func (t trust) doubts(path string, st *unix.Stat_t, private bool) []error {
	if t.draft {
		return nil
	}
	var doubts []error
	if st.Uid != 0 && int64(st.Uid) != int64(t.uid) {
		want := "want root"
		if t.uid != 0 {
			want = fmt.Sprintf("want root or %s, as whom the daemon runs", nameOfUID(t.uid))
		}
		doubts = append(doubts, fmt.Errorf("found %s owned by %s, %s: chown root %s", path, nameOfUID(int(st.Uid)), want, ShellQuote(path)))
	}
	perm := st.Mode & 0o7777
	if who := whoCan(perm, 0o2); who != "" {
		doubts = append(doubts, fmt.Errorf("found %s writable by %s (mode %04o), want it writable by its owner alone: chmod go-w %s", path, who, perm, ShellQuote(path)))
	}
	if who := whoCan(perm, 0o4); private && who != "" {
		doubts = append(doubts, fmt.Errorf("found %s readable by %s (mode %04o), want it readable by its owner alone: chmod go-rwx %s, and make a new key if others may have read it", path, who, perm, ShellQuote(path)))
	}
	return doubts
}

// whoCan names those other than the owner that have a permission bit. With a
// POSIX access list the bits of the group are its mask, so it counts too.
func whoCan(perm, bit uint32) string {
	var who []string
	if perm&(bit<<3) != 0 {
		who = append(who, "its group")
	}
	if perm&bit != 0 {
		who = append(who, "others")
	}
	return strings.Join(who, " and ")
}

func nameOfUID(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

func kindOfFile(kind uint32) string {
	switch kind {
	case unix.S_IFDIR:
		return "a folder"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// ShellQuote writes a path so that it can be pasted into a shell.
func ShellQuote(path string) string {
	if path != "" && strings.IndexFunc(path, func(c rune) bool {
		return !isWordChar(c) && !strings.ContainsRune("/.,:@+=", c)
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
