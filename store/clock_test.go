package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// The one entry that may be earlier than the one before it.
func TestAcceptedClock(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	appendLeaf := func(l *audit.Leaf) error {
		return s.Update(t.Context(), func(tx signer.Tx) error { _, err := tx.Append(l); return err })
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start.AddDate(10, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start}); !errors.Is(err, signer.ErrClockBack) {
		t.Errorf("got %v, want ErrClockBack", err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafClock, Time: start}); err != nil {
		t.Fatal(err)
	}
	if err := appendLeaf(&audit.Leaf{Type: audit.LeafStarted, Time: start.Add(time.Second)}); err != nil {
		t.Errorf("after the clock was accepted: %v", err)
	}
}

func TestClock(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	appendAt := func(at time.Time) (time.Time, error) {
		var got time.Time
		err := s.Update(t.Context(), func(tx signer.Tx) error {
			l := &audit.Leaf{Type: audit.LeafStarted, Time: at}
			_, err := tx.Append(l)
			got = l.Time
			return err
		})
		return got, err
	}
	if _, err := appendAt(start); err != nil {
		t.Fatal(err)
	}
	if got, err := appendAt(start.Add(-signer.ClockTolerance)); err != nil || !got.Equal(start) {
		t.Errorf("a step back within the tolerance: %v, %v, want the time of the entry before", got, err)
	}
	_, err := appendAt(start.Add(-time.Hour))
	if !errors.Is(err, signer.ErrClockBack) || !strings.Contains(err.Error(), "2026-05-01T11:00:00Z") {
		t.Errorf("got %v, want ErrClockBack that says what time it is", err)
	}
	if _, err := appendAt(start.Add(time.Second)); err != nil {
		t.Errorf("after the clock was set right: %v", err)
	}
}
