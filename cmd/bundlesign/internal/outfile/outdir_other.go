//go:build !linux

package outfile

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// exchangeNames is not known to work here.
func exchangeNames(_, _ string) error { return unix.ENOSYS }

// renameToFree is not known to work here.
func renameToFree(_, _ string) error { return unix.ENOSYS }

// syncTree makes durable all that is in a folder, file by file.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}
