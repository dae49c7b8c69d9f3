package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// undo makes files and folders and remembers which, to take them away again.
type undo struct{ paths []string }

// made remembers a path that somebody else made.
func (u *undo) made(path string) { u.paths = append(u.paths, path) }

// mkdir makes a folder with the given mode, and those above it with 0755, as far
// as they are not there. Modes are set, not left to the umask: a file that init
// says is for everybody must not turn out to be for root alone.
func (u *undo) mkdir(path string, mode os.FileMode) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("found %s, which is not a folder", path)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if err := u.mkdir(parent, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	u.made(path)
	return os.Chmod(path, mode)
}

// create writes a new file with the given mode, durably.
func (u *undo) create(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	u.made(path)
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// all removes what was made, the newest first.
func (u *undo) all() error {
	var errs []error
	for i := len(u.paths) - 1; i >= 0; i-- {
		if err := os.Remove(u.paths[i]); err != nil {
			errs = append(errs, fmt.Errorf("taking back what was written: %w", err))
		}
	}
	return errors.Join(errs...)
}

// syncFolder makes new names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
