package signer

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"
)

// authorized lists the requests that a stop or crash left unfinished, oldest
// first.
func (s *Signer) authorized(ctx context.Context) (out []*Request, err error) {
	err = s.each(ctx, Authorized, func(r *Request) { out = append(out, r) })
	slices.Reverse(out)
	return out, err
}

// each calls fn with every request in a state, newest first.
func (s *Signer) each(ctx context.Context, state State, fn func(*Request)) error {
	f := Filter{States: []State{state}, Limit: 1000}
	for {
		page, err := s.store.Requests(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range page {
			fn(r)
		}
		if len(page) < f.Limit {
			return nil
		}
		f.Before = page[len(page)-1].Seq
	}
}

// resume finishes what was authorized before the last stop. The decision stands:
// it was spent when it was recorded, and the log says so. What could have changed
// is checked: the key must still be the one that was decided about, and the app's.
func (s *Signer) resume(requests []*Request) {
	for _, r := range requests {
		if s.begin() != nil {
			return
		}
		s.watch.open(r.ID)
		var p *place // none without a key
		if key := s.keeper(r); key != nil {
			p = key.rejoin(r.Requester.UID, r.FileCount+2)
		}
		go s.resumeOne(r.ID, p)
	}
}

// keeper returns the key that an earlier request was authorized for, or nil if it
// does not sign for the request's app any more. It may have another name by now.
func (s *Signer) keeper(r *Request) *managedKey {
	keeps := func(k *managedKey) bool {
		return k.Pin.Fingerprint() == r.KeyFingerprint && slices.Contains(k.Apps, r.Submission.AppID)
	}
	if k := s.keys.byName[r.Key]; k != nil && keeps(k) {
		return k // also if it is disabled: no other name gets around that
	}
	for _, k := range s.keys.sorted() {
		if keeps(k) {
			return k
		}
	}
	return nil
}

// resumeOne reads the whole request and executes it, or without a place lets it
// fail. One that was cancelled since the daemon started stays so: its key is not
// used.
func (s *Signer) resumeOne(id string, p *place) {
	whole, err := s.store.Request(s.life, id)
	switch {
	case err != nil:
		s.log.Error("request cannot be taken up again; the next start tries", zap.String("id", id), zap.Error(err))
	case whole.State != Authorized:
		s.watch.land(whole)
	case p == nil:
		s.finish(whole, nil, Failed, fmt.Sprintf("its key %s (%s) no longer signs for %s", whole.Key, whole.KeyFingerprint, whole.Submission.AppID))
	default:
		s.log.Info("request is taken up again", zap.String("id", id))
		s.execute(whole, p)
		return
	}
	if p != nil {
		p.leave()
	}
	s.signing.Done()
}
