package main

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

// vacant returns an error if there is anything at path, or no folder for it.
func vacant(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return taken(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no folder", filepath.Dir(path))
	}
	return nil
}

func taken(path string) error {
	return fmt.Errorf("there is something at %s already, and nothing is ever overwritten: move it away, or choose another name", path)
}

// writeNew writes a file that is either whole, on disk and readable by everybody,
// or not there. It never replaces anything.
func writeNew(path string, data []byte) (err error) {
	dir, base := filepath.Split(path)
	tmp := fmt.Sprintf("%s.%.100s.%s.tmp", dir, base, strings.ToLower(rand.Text()[:8]))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// The name that it was written under goes, whatever happens.
	defer func() { err = errors.Join(err, os.Remove(tmp)) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	// Unlike rename(2), link(2) fails if there is something.
	if err := os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
		return taken(path)
	} else if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a new name in a folder durable. A file system that cannot sync
// a folder (EINVAL) has nothing to sync.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
