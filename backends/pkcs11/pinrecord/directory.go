package pinrecord

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
)

const (
	recordSuffix = ".json"
	newSuffix    = ".new"
	lockSuffix   = ".lock"

	// lockPoll is how often a lock that another process holds is tried for.
	lockPoll = 20 * time.Millisecond
)

// directory keeps records in files, named by the tokens' IDs.
type directory string

func (d directory) outlives() bool { return true }

func (d directory) path(id, suffix string) string { return filepath.Join(string(d), id+suffix) }

// lock locks a file beside the record. The record itself is replaced with each
// change, and a lock on it would be on a file that is no longer there.
func (d directory) lock(ctx context.Context, id string) (func(), error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path(id, lockSuffix), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := waitForLock(ctx, f); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func waitForLock(ctx context.Context, f *os.File) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// make makes the directory. Its parent, the daemon's own, is there.
func (d directory) make() error {
	err := os.Mkdir(string(d), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(string(d)))
}

func (d directory) load(id string) ([]byte, error) {
	data, _, err := secretfile.Read(d.path(id, recordSuffix), secretfile.Rule{Max: maxRecord})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// save replaces a record in one step: after a crash there is the old one or the
// new one. The caller holds the lock, so that the name of the new file is its own.
func (d directory) save(id string, data []byte) error {
	tmp := d.path(id, newSuffix)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.path(id, recordSuffix)); err != nil {
		return err
	}
	return syncDir(string(d))
}

func (d directory) remove(id string) error {
	if err := os.Remove(d.path(id, recordSuffix)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(string(d))
}

func (d directory) stamp(id string) string {
	state, err := secretfile.Stat(d.path(id, recordSuffix))
	if err != nil {
		return ""
	}
	return state.String()
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
