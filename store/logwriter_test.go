package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// faultyLogKey is a log's key in a backend that fails.
type faultyLogKey struct {
	note.Signer
	fault error
}

func (k *faultyLogKey) Sign(msg []byte) ([]byte, error) {
	if k.fault != nil {
		return nil, k.fault
	}
	return k.Signer.Sign(msg)
}

// A new log opens while its key cannot be reached, whatever the backend calls that,
// and begins with the first entry that can be signed. It does not open with a key
// that is of no use.
func TestNewLogWaitsForItsKey(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		opens bool
	}{
		"away":             {fmt.Errorf("%w: no token", signer.ErrUnavailable), true},
		"a black hole":     {context.DeadlineExceeded, true},
		"of no use at all": {fmt.Errorf("%w: it is RSA", signer.ErrKeyUnusable), false},
	} {
		t.Run(name, func(t *testing.T) {
			keys := newLogKeys(t)
			key := &faultyLogKey{keys.signer, c.fault}
			s, err := Open(t.Context(), Options{Dir: stateDir(t), LogSigner: key, LogVerifier: keys.verifier})
			if !c.opens {
				if !errors.Is(err, c.fault) {
					t.Errorf("got %v, want it refused with the cause", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			entry := func(tx signer.Tx) error {
				_, err := tx.Append(&audit.Leaf{Type: audit.LeafStarted, Time: start})
				return err
			}
			if err := s.Update(t.Context(), entry); !errors.Is(err, signer.ErrLogKey) {
				t.Errorf("got %v, want it refused while nothing can be signed", err)
			}
			if _, err := s.Log().Checkpoint(t.Context()); !errors.Is(err, signer.ErrLogKey) {
				t.Errorf("got %v, want no checkpoint yet", err)
			}
			key.fault = nil // the writer is idle: nobody else looks at it now
			if err := s.Update(t.Context(), entry); err != nil {
				t.Errorf("once the key is back: %v", err)
			}
		})
	}
}
