package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// Request returns a request by its id.
func (s *Signer) Request(ctx context.Context, id string) (*Request, error) {
	r, err := s.store.Request(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, noRequest(id)
	}
	return r, storeError(err)
}

func noRequest(id string) error {
	return &Error{Kind: KindNotFound, Detail: fmt.Sprintf("there is no request %q", id), Err: ErrNotFound}
}

// Requests lists requests, newest first.
func (s *Signer) Requests(ctx context.Context, f Filter) ([]*Request, error) {
	rs, err := s.store.Requests(ctx, f)
	return rs, storeError(err)
}

// Wait returns the request as soon as it is final, or as it is when ctx ends.
func (s *Signer) Wait(ctx context.Context, id string) (*Request, error) {
	if f := s.watch.find(id); f != nil {
		select {
		case <-f.done:
			return f.final, nil
		case <-ctx.Done():
		case <-s.life.Done():
		}
	}
	return s.Request(context.WithoutCancel(ctx), id)
}

// Progress returns how many of the signatures of a request are made, of how many;
// both are 0 if it is not being signed.
func (s *Signer) Progress(id string) (done, of int) { return s.watch.progress(id) }

// Cancel takes a request back that waits for approvals or for its signatures. Only
// its requester may. Signatures that were made already are dropped: none leaves.
func (s *Signer) Cancel(ctx context.Context, id string, who policy.Identity) (*Request, error) {
	var out *Request
	err := s.update(ctx, func(tx Tx) error {
		r, err := tx.Request(id)
		if errors.Is(err, ErrNotFound) {
			return noRequest(id)
		}
		if err != nil {
			return err
		}
		// All jobs of a CI runner may have one uid: who came with a token is known by
		// that.
		if r.Requester.UID != who.UID || r.Requester.Token != nil && r.Requester.Account() != who.Account() {
			return &Error{Kind: KindForbidden, Detail: fmt.Sprintf("request %s was made by %s: only they can cancel it", id, r.Requester)}
		}
		from := r.State
		if from.Final() {
			return &Error{Kind: KindConflict, Request: r, Detail: fmt.Sprintf("request %s is %s: only a request that is pending or authorized can be cancelled", id, r.State)}
		}
		r.State, r.Reason = Cancelled, "cancelled by the requester"
		r.UpdatedAt = s.clock.Now().UTC().Truncate(time.Microsecond)
		leaf, err := requestLeaf(r, audit.LeafCancelled, r.UpdatedAt)
		if err != nil {
			return err
		}
		if r.LeafIndex, err = tx.Append(leaf); err != nil {
			return err
		}
		out = r
		return tx.Move(r, from)
	})
	if err != nil {
		return nil, storeError(err)
	}
	s.log.Info("request", zap.String("id", id), zap.String("state", string(Cancelled)))
	s.observe(out)
	s.watch.land(out)
	return out, nil
}

// Receipt proves that the newest move of r is in the log.
func (s *Signer) Receipt(ctx context.Context, r *Request) (*audit.Receipt, error) {
	rec, err := s.store.Receipt(ctx, r.LeafIndex)
	return rec, storeError(err)
}

// ReceiptAt proves that the entry at index is in the log.
func (s *Signer) ReceiptAt(ctx context.Context, index int64) (*audit.Receipt, error) {
	rec, err := s.store.Receipt(ctx, index)
	return rec, storeError(err)
}

// Log gives read access to the audit log.
func (s *Signer) Log() audit.Reader { return s.store.Log() }

// Keys returns all keys by name.
func (s *Signer) Keys() []KeyStatus {
	var out []KeyStatus
	for _, k := range s.keys.sorted() {
		out = append(out, k.status())
	}
	return out
}

// Key returns one key.
func (s *Signer) Key(name string) (KeyStatus, error) {
	k := s.keys.byName[name]
	if k == nil {
		return KeyStatus{}, &Error{Kind: KindNotFound, Detail: fmt.Sprintf("there is no key %q", name), Err: ErrNotFound}
	}
	return k.status(), nil
}

// Status is the health of the daemon, part by part.
type Status struct {
	Version    string
	Started    time.Time
	PolicyHash string
	Parts      []Part
}

// Part is one part of the daemon.
type Part struct {
	Name   string
	State  string // "ok" or what is wrong in a word
	Detail string // what is wrong, or what is worth knowing
}

// OK reports whether every part is well.
func (st *Status) OK() bool {
	for _, p := range st.Parts {
		if p.State != "ok" {
			return false
		}
	}
	return true
}

// Status looks at every part of the daemon.
func (s *Signer) Status(ctx context.Context) *Status {
	st := &Status{Version: s.config.Version, Started: s.started, PolicyHash: s.policy.Load().Hash()}
	add := func(name string, err error) {
		p := Part{Name: name, State: "ok"}
		var e *Error
		switch {
		case errors.As(err, &e) && e.Kind == KindClock:
			p.State, p.Detail = "clock behind", e.Detail
		case err != nil:
			p.State, p.Detail = "failing", err.Error()
		}
		st.Parts = append(st.Parts, p)
	}
	add("state", s.probeStore(ctx))
	for _, k := range s.Keys() {
		st.Parts = append(st.Parts, partOf("key "+k.Name, k.State, k.Detail))
		if len(k.At) == 1 {
			continue
		}
		for i, r := range k.At {
			st.Parts = append(st.Parts, partOf(fmt.Sprintf("key %s, replica %d (%s)", k.Name, i+1, r.URI), r.State, r.Detail))
		}
	}
	return st
}

func partOf(name string, state KeyState, detail string) Part {
	if state == KeyUnchecked && detail == "" {
		detail = "it is being checked"
	}
	return Part{Name: name, State: string(state), Detail: detail}
}

// probeStore finds out whether a log entry could be written: the last write went
// well, and the clock and the database would take another. It writes nothing.
func (s *Signer) probeStore(ctx context.Context) error {
	if err := s.writing.last(); err != nil {
		return fmt.Errorf("the last write failed, the next request tries again: %w", err)
	}
	errProbe := errors.New("probe")
	err := s.update(ctx, func(tx Tx) error {
		if _, err := tx.Append(&audit.Leaf{Type: audit.LeafStarted, Time: s.clock.Now()}); err != nil {
			return err
		}
		return errProbe // takes the entry back
	})
	if !errors.Is(err, errProbe) {
		return storeError(err)
	}
	if !s.running.Load() {
		return errors.New("the start is not in the log yet; nothing is signed")
	}
	return nil
}
