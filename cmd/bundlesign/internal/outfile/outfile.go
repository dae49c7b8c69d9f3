// Package outfile writes files that are either whole or not there.
//
// Its invariant is that nothing stands under the final name before all of it is
// on disk: the bytes go to a temporary file in the same folder, which is synced
// and then takes the name in one step. A process that is killed leaves at most
// the temporary file, whose name begins with a dot.
package outfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is in the chain of the error about a target that exists and is
// no regular file: to rename over a device or a link would destroy it.
var ErrNotRegular = errors.New("not a regular file")

// File is a file that has not got its name yet.
type File struct {
	file   *os.File
	target string
	done   bool
}

// Check reports whether target could be written: its folder is there and may be
// written to, and it is a regular file or does not exist.
func Check(target string) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s: %w", target, kind(info.Mode()), ErrNotRegular)
	}
	dir := filepath.Dir(target)
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "writing to folder", Path: dir, Err: err}
	}
	return nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// Create opens a temporary file that [File.Commit] gives the name target. An
// existing file of that name is replaced then and not before.
func Create(target string) (*File, error) {
	if err := Check(target); err != nil {
		return nil, err
	}
	dir, base := filepath.Split(target)
	name := fmt.Sprintf("%s.%.100s.%s.tmp", dir, base, strings.ToLower(rand.Text()[:8]))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less the umask, as for any file
	if err != nil {
		return nil, err
	}
	return &File{file: f, target: target}, nil
}

// Write appends to the temporary file.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Sync makes what was written durable; [File.Commit] does it if it was not done. With
// several files it should be done for all of them before the first gets its name.
func (f *File) Sync() error { return f.file.Sync() }

// Commit makes the file durable under its final name. On an error there is
// nothing new under that name.
func (f *File) Commit() error {
	if err := f.file.Sync(); err != nil {
		f.Discard()
		return err
	}
	if err := f.file.Close(); err != nil {
		f.Discard()
		return err
	}
	if err := os.Rename(f.file.Name(), f.target); err != nil {
		f.Discard()
		return err
	}
	f.done = true
	return syncDir(filepath.Dir(f.target))
}

// Discard removes the temporary file, unless it has been committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.file.Close() // what could not be written is thrown away anyway
	_ = os.Remove(f.file.Name())
}

// syncDir makes a rename durable. A file system that cannot sync a folder
// (EINVAL) has nothing to sync.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// WriteFile writes data to target, whole or not at all.
func WriteFile(target string, data []byte) error {
	f, err := Create(target)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Replace writes data to target, which keeps its permissions, whole or not at all.
func Replace(target string, data []byte) error {
	info, err := os.Lstat(target)
	if err != nil {
		return err
	}
	f, err := Create(target)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := f.file.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
