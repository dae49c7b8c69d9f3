package signer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

const (
	// piece is how many payloads a key is given at once: so many that it never
	// runs dry, so few that others have their turn.
	piece = 512
	// lanes is how many pieces of one request are under way: the key works on one
	// while the signatures of the other are verified.
	lanes = 2
)

// work is what a key has to sign for one request, and how far it is. What was
// signed and verified stays, whatever happens to the rest.
type work struct {
	payloads []capgo.Payload

	mu      sync.Mutex
	todo    []span
	sigs    []capgo.Signature
	done    int      // payloads
	custody *Custody // the weakest that any of the signatures was made under
	moved   func()   // called after progress; must not block
	lanes   int      // that sign or wait for their turn
	queued  int      // of these, lanes that wait for their turn behind others
}

// span is payloads from one index up to another.
type span struct{ from, to int }

func newWork(payloads []capgo.Payload) *work {
	w := &work{payloads: payloads, sigs: make([]capgo.Signature, len(payloads)), moved: func() {}}
	// The first is shorter, so that not all lanes are at the end of a piece, with
	// nothing for the key to do, at the same time.
	for from, to := 0, piece/lanes; from < len(payloads); from, to = to, to+piece {
		w.todo = append(w.todo, span{from, min(to, len(payloads))})
	}
	return w
}

// watch has stalled called when there is no progress for so long, not counting the
// time in which others have their turn, until the function that it returns is
// called.
func (w *work) watch(patience time.Duration, stalled func()) (stop func()) {
	var timer *time.Timer
	begin := make(chan struct{})
	timer = time.AfterFunc(patience, func() {
		<-begin
		if w.waits() {
			timer.Reset(patience)
			return
		}
		stalled()
	})
	w.moved = func() { timer.Reset(patience) }
	close(begin)
	return func() { timer.Stop() }
}

// progress returns how many payloads are signed, of how many.
func (w *work) progress() (done, of int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done, len(w.payloads)
}

func (w *work) take() (span, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.todo) == 0 {
		return span{}, false
	}
	s := w.todo[0]
	w.todo = w.todo[1:]
	return s, true
}

func (w *work) giveBack(s span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.todo = append(w.todo, s)
}

func (w *work) put(s span, sigs []capgo.Signature, custody *Custody) {
	w.mu.Lock()
	copy(w.sigs[s.from:s.to], sigs)
	w.done += s.to - s.from
	if w.custody == nil || custody.Level.Rank() < w.custody.Level.Rank() {
		w.custody = custody
	}
	w.mu.Unlock()
	w.moved()
}

// result is what the key made, when all is signed.
func (w *work) result() KeyResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	return KeyResult{
		Checksum:   w.sigs[0],
		SessionKey: capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: w.sigs[1]},
		Files:      w.sigs[2:],
		Custody:    *w.custody,
	}
}

// waits reports whether nothing of it is being signed because it is the turn of
// others.
func (w *work) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lanes > 0 && w.queued == w.lanes
}

func (w *work) count(lanes, queued int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lanes += lanes
	w.queued += queued
}

// run has the replica sign what is left to do. On error it can be run again, with
// this replica or another.
func (w *work) run(ctx context.Context, r *managedReplica) error {
	custody := r.status().Custody
	if custody == nil {
		return fmt.Errorf("%w: it has not proved its custody", ErrUnavailable)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := r.key.stopped()
	go func() {
		select {
		case <-stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	var wg sync.WaitGroup
	failed := make([]error, lanes)
	for i := range min(lanes, len(w.todo)) {
		wg.Go(func() {
			if failed[i] = w.lane(ctx, r, custody); failed[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return gravest(failed)
}

// lane signs one piece after the other.
func (w *work) lane(ctx context.Context, r *managedReplica, custody *Custody) error {
	w.count(1, 0)
	defer w.count(-1, 0)
	for {
		s, more := w.take()
		if !more {
			return nil
		}
		w.count(0, 1)
		err := r.key.slots.Acquire(ctx, 1)
		w.count(0, -1)
		if err != nil {
			w.giveBack(s)
			return err
		}
		w.moved() // it is its turn
		sigs, err := r.sign(ctx, w.payloads[s.from:s.to])
		r.key.slots.Release(1)
		if err != nil {
			w.giveBack(s)
			return err
		}
		w.put(s, sigs, custody)
	}
}

// errTurnedAway: the replica fell while payloads waited for their turn.
var errTurnedAway = fmt.Errorf("%w: the replica that was chosen is not well any more", ErrUnavailable)

// sign has payloads signed and verifies the signatures, in its turn. A replica that fell since it
// was chosen is not asked: all who wait for it would lose its time-out, one after
// the other.
func (r *managedReplica) sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	if err := r.key.blocked(); err != nil {
		return nil, err
	}
	if !r.ready() {
		st := r.status()
		return nil, fmt.Errorf("%w: it is %s: %s", errTurnedAway, st.State, st.Detail)
	}
	sigs, err := r.Key.Sign(ctx, payloads)
	if err != nil {
		if ctx.Err() == nil && r.key.blocked() == nil {
			r.fell(err) // before the next in the queue has its turn
		}
		return nil, err
	}
	if len(sigs) != len(payloads) {
		return nil, fmt.Errorf("%w: %d signatures for %d payloads", errWrongSignature, len(sigs), len(payloads))
	}
	for i, p := range payloads {
		if err := r.key.Pin.Verify(p, sigs[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", errWrongSignature, err)
		}
	}
	return sigs, nil
}

// gravest returns the error that decides what becomes of the work: a wrong
// signature before any other, and one that only followed from another last.
func gravest(errs []error) error {
	var worst error
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, errWrongSignature):
			return err
		case worst == nil || errors.Is(worst, context.Canceled):
			worst = err
		}
	}
	return worst
}
