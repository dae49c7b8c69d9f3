package signer

import (
	"context"
	"errors"
	"sync"
)

// health remembers the last failure of the state, until a write succeeds.
type health struct {
	mu  sync.Mutex
	err error
}

func (h *health) note(err error) {
	failed := errors.Is(err, ErrStoreFull) || errors.Is(err, ErrStoreBroken) || errors.Is(err, ErrLogKey)
	if err != nil && !failed {
		return // the caller's own refusal: it says nothing about the state
	}
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
}

func (h *health) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// update is the store's Update, with its outcome remembered for the status.
func (s *Signer) update(ctx context.Context, fn func(Tx) error) error {
	err := s.store.Update(ctx, fn)
	s.writing.note(err)
	return err
}
