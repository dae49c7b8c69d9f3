package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/delta"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// stage is everything that a request gave, written and on disk, while none of it
// has its name yet: a failure in the middle must leave what was there before, whole.
type stage struct {
	results []keyResult
	size    int64 // of the plain zip, in bytes
	delta   *delta.Prepared
	files   []stagedFile // in the order in which they get their names
	made    []string     // folders, the outermost first
	done    bool
}

type stagedFile struct {
	target string
	*outfile.File
}

func (st *stage) add(target string, f *outfile.File) {
	st.files = append(st.files, stagedFile{target, f})
}

// write adds a file with data in it.
func (st *stage) write(target string, data []byte) error {
	f, err := outfile.Create(target)
	if err != nil {
		return err
	}
	st.add(target, f)
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("%s was not written: %w", target, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s was not written: %w", target, err)
	}
	return nil
}

// commit gives all of it its names: first what is downloaded, then the answers
// that tell of it. Another bundlesign that writes into the same folder waits, so
// that in the end all is of one request.
func (st *stage) commit(folder string) error {
	unlock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	defer unlock()
	st.done = true // a folder with something in it stays
	if st.delta != nil {
		if err := st.delta.Commit(); err != nil {
			return deltaError(err)
		}
	}
	for _, f := range st.files {
		if err := f.Commit(); err != nil {
			return fmt.Errorf("%s was not written: %w", f.target, err)
		}
	}
	return nil
}

// discard takes back what has no name.
func (st *stage) discard() {
	if st.delta != nil {
		st.delta.Discard()
	}
	for _, f := range st.files {
		f.Discard()
	}
	if st.done {
		return
	}
	for i := len(st.made) - 1; i >= 0; i-- {
		_ = os.Remove(st.made[i]) // not one with something in it
	}
}

// lockFolder waits until nobody else has the folder locked. Where a file system
// has no locks there is none.
func lockFolder(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOLCK) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil // and the lock is gone
}

// makeFolders makes the folders of the result, now that there is one.
func (l *layout) makeFolders(st *stage) error {
	for _, p := range l.places {
		var missing []string
		for dir := p.folder; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				break
			}
			missing = append(missing, dir)
		}
		for i := len(missing) - 1; i >= 0; i-- {
			if err := os.Mkdir(missing[i], 0o777); err != nil { // less the umask, as for any folder
				return fmt.Errorf("output: %w", err)
			}
			st.made = append(st.made, missing[i])
		}
	}
	return nil
}
