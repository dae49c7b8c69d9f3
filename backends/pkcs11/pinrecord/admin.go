package pinrecord

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Summary is a record as it may be shown: there is nothing of any PIN in it. What the
// token says of itself is to be shown quoted: it may be any bytes.
type Summary struct {
	ID     string
	Token  Token
	Module string
	Time   time.Time // of the newest attempt; zero if Damaged
	// Refused is how many PINs the token refused.
	Refused int
	// Unanswered: a PIN was given to the token and nothing is known of what became
	// of it; or it is being given at this moment.
	Unanswered bool
	// Damaged is why the record cannot be read, or "". No PIN is tried on its
	// token.
	Damaged string
}

// Clean reports whether nothing stands against trying a PIN.
func (s *Summary) Clean() bool { return s.Refused == 0 && !s.Unanswered && s.Damaged == "" }

// List returns what is recorded in dir, in the order of IDs: nothing if there is
// no dir. It changes nothing and may be called while the daemon runs.
func List(dir string) ([]Summary, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		s := Summary{ID: id}
		r, err := read(filepath.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was just taken away
		case errors.Is(err, fs.ErrPermission):
			return nil, err
		case err != nil:
			s.Damaged = err.Error()
		default:
			s.Token, s.Module, s.Time = r.Token, r.Module, r.Time
			s.Refused, s.Unanswered = len(r.Refused), r.Pending != ""
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Summary) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func read(path string) (*record, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRecord {
		return nil, fmt.Errorf("found more than %d bytes, which no record has", maxRecord)
	}
	return decode(data)
}

// Errors of [Clear].
var (
	ErrNoRecord = errors.New("there is no such record")
	ErrBusy     = errors.New("a login to this token is under way")
)

// Clear takes the record of a token away, after which its PIN is tried once more,
// also by a daemon that runs. It fails with [ErrNoRecord], and with [ErrBusy] while
// a login is under way, whose answer would be lost.
func Clear(dir, id string) error {
	if id == "" || strings.ContainsAny(id, "/.\x00") {
		return fmt.Errorf("%w: %q", ErrNoRecord, id)
	}
	d := directory(dir)
	// The lock's file is not made here: it would be this user's, and the daemon
	// could not open it.
	lock, err := os.OpenFile(d.path(id, lockSuffix), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err == nil {
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return ErrBusy
		} else if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(d.path(id, recordSuffix)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %q", ErrNoRecord, id)
	} else if err != nil {
		return err
	}
	return d.remove(id)
}
