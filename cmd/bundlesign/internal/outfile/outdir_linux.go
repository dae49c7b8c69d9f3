package outfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// exchangeNames gives two folders each other's name in one step.
func exchangeNames(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// renameToFree gives a folder a name, if nothing has it.
func renameToFree(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// syncTree makes durable all that is in a folder. It is one call for the whole file
// system: to sync thousands of small files one by one takes longer than to write
// them.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "syncing", Path: dir, Err: err}
	}
	return nil
}
