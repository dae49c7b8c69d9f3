package signer

import (
	"context"
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
// is checked: the keys must still be those that were decided about, and the app's.
func (s *Signer) resume(requests []*Request) {
	for _, r := range requests {
		if s.begin() != nil {
			return
		}
		s.watch.open(r.ID)
		keys, _ := s.keepers(r)
		go s.resumeOne(r.ID, rejoin(keys, r))
	}
}

// resumeOne reads the whole request and executes it, or without its places, because a
// key is gone, lets it fail. One that was cancelled since the daemon started stays so: its key is not
// used.
func (s *Signer) resumeOne(id string, places places) {
	whole, err := s.store.Request(s.life, id)
	switch {
	case err != nil:
		s.log.Error("request cannot be taken up again; the next start tries", zap.String("id", id), zap.Error(err))
	case whole.State != Authorized:
		s.watch.land(whole)
	case len(places) == 0:
		reason := "it has no key"
		if _, gone := s.keepers(whole); gone != nil {
			reason = whole.lost(gone)
		}
		s.finish(whole, nil, Failed, reason)
	default:
		s.log.Info("request is taken up again", zap.String("id", id))
		s.execute(whole, places)
		return
	}
	places.leave()
	s.signing.Done()
}
