package outfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrOccupied is in the chain of the error about a folder that exists and holds
// anything but an earlier result: nothing in it is deleted.
var ErrOccupied = errors.New("it holds other things, and none of them is deleted")

// A Lister says what is in a folder that an earlier run has made: every file and
// folder, relative to it. It fails if there is anything else. What it lists may be
// deleted; nothing else is.
type Lister func(dir string) ([]string, error)

// Dir is a folder that has not got its name yet.
type Dir struct {
	path   string
	target string
	list   Lister
	synced bool
	done   bool
}

// CheckDir reports whether the folder target could be written: its parent is there
// and may be written to, and target does not exist, is empty, or holds an earlier
// result.
func CheckDir(target string, list Lister) error {
	_, err := checkDir(target, list)
	return err
}

func checkDir(target string, list Lister) (exists bool, err error) {
	target = filepath.Clean(target)
	// To give a new folder the name of the one that a shell stands in would leave
	// the shell in the old.
	if base := filepath.Base(target); base == "." || base == ".." || base == string(filepath.Separator) {
		return false, fmt.Errorf("%s: %w: want a folder with a name of its own", target, fs.ErrInvalid)
	}
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%s is %s, want a folder: %w", target, kind(info.Mode()), fs.ErrExist)
	default:
		exists = true
		entries, err := os.ReadDir(target)
		if err != nil {
			return true, err
		}
		if len(entries) > 0 {
			if _, err := list(target); err != nil {
				return true, fmt.Errorf("%s: %w (%w)", target, ErrOccupied, err)
			}
		}
	}
	parent := filepath.Dir(target)
	if err := unix.Faccessat(unix.AT_FDCWD, parent, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return exists, &fs.PathError{Op: "writing to folder", Path: parent, Err: err}
	}
	return exists, nil
}

// CreateDir makes a temporary folder beside target that [Dir.Commit] gives the
// name target. An earlier result of that name, as list knows it, is replaced then
// and not before.
func CreateDir(target string, list Lister) (*Dir, error) {
	target = filepath.Clean(target)
	if err := CheckDir(target, list); err != nil {
		return nil, err
	}
	parent, base := filepath.Split(target)
	path := fmt.Sprintf("%s.%.100s.%s.tmp", parent, base, strings.ToLower(rand.Text()[:8]))
	if err := os.Mkdir(path, 0o777); err != nil { // less the umask, as for any folder
		return nil, err
	}
	return &Dir{path: path, target: target, list: list}, nil
}

// Path is the temporary folder.
func (d *Dir) Path() string { return d.path }

// Sync makes durable all that was written into the folder; nothing may be written
// into it any more. [Dir.Commit] does it if it was not done. With several folders
// it should be done for all of them before the first gets its name.
func (d *Dir) Sync() error {
	if d.synced {
		return nil
	}
	if err := syncTree(d.path); err != nil {
		return err
	}
	d.synced = true
	return nil
}

// Commit makes the folder durable under its final name, in one step. On an error
// there is nothing new under that name, unless the error says so.
func (d *Dir) Commit() error {
	defer d.Discard()
	if err := d.Sync(); err != nil {
		return err
	}
	exists, err := checkDir(d.target, d.list)
	if err != nil {
		return err
	}
	old := ""
	if exists {
		old, err = d.exchange()
	} else {
		err = renameNew(d.path, d.target)
	}
	if err != nil {
		return err
	}
	d.done = true
	if err := syncDir(filepath.Dir(d.target)); err != nil {
		return fmt.Errorf("%s was written, but may not survive a loss of power: %w", d.target, err)
	}
	if !exists {
		return nil
	}
	if err := d.remove(old); err != nil {
		return fmt.Errorf("%s was written; the folder that had this name is now %s and could not be removed: %w", d.target, old, err)
	}
	return nil
}

// exchange gives the new folder the name of the old, and returns what the old is
// called now. The old one is looked at again afterwards, when nobody finds it
// under its name any more: what was put there at the last moment is not lost.
func (d *Dir) exchange() (old string, err error) {
	old = d.path
	swap := func() error { return exchangeNames(d.path, d.target) }
	back := swap
	err = swap()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// A system that cannot exchange two names. For a moment the name is free.
		old = d.path + ".old"
		err = renameBoth(d.target, old, d.path)
		back = func() error { return renameBoth(d.target, d.path, old) }
	}
	if err != nil {
		return "", renameError(d.target, err)
	}
	if _, err := checkDir(old, d.list); err != nil {
		if failed := back(); failed != nil {
			d.done = true // what is now called as the temporary folder is not ours to delete
			return "", fmt.Errorf("%s was written; the folder that had this name is now %s (%w; %w)", d.target, old, err, failed)
		}
		return "", err
	}
	return old, nil
}

// renameBoth moves name to aside and next to name, or nothing.
func renameBoth(name, aside, next string) error {
	if err := unix.Rename(name, aside); err != nil {
		return err
	}
	if err := unix.Rename(next, name); err != nil {
		return errors.Join(err, unix.Rename(aside, name))
	}
	return nil
}

// renameNew gives a folder a name that nothing has. Where the file system cannot
// promise that, rename(2) still refuses to replace anything but an empty folder.
func renameNew(from, to string) error {
	err := renameToFree(from, to)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = unix.Rename(from, to)
	}
	if err != nil {
		return renameError(to, err)
	}
	return nil
}

func renameError(target string, err error) error {
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%s cannot be replaced (%w): it is a mount point; name a folder inside of it", target, err)
	}
	return &fs.PathError{Op: "renaming the new folder to", Path: target, Err: err}
}

// remove removes what is listed in dir, and then dir if nothing else is in it.
func (d *Dir) remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		names, err := d.list(dir)
		if err != nil {
			return err
		}
		// What is in a folder comes before the folder.
		slices.Sort(names)
		slices.Reverse(names)
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}

// Discard removes the temporary folder and all in it, unless it has been
// committed.
func (d *Dir) Discard() {
	if d.done {
		return
	}
	d.done = true
	_ = os.RemoveAll(d.path) // what could not be written is thrown away anyway
}
