package signer

import (
	"context"

	"go.uber.org/zap"
)

// authorized lists the requests that a stop or crash left unfinished, oldest
// first.
func (s *Signer) authorized(ctx context.Context) ([]*Request, error) {
	var out []*Request
	f := Filter{States: []State{Authorized}, Limit: 1000}
	for {
		page, err := s.store.Requests(ctx, f)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].Seq
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}

// resume finishes what was authorized before the last stop. The decision stands:
// it was spent when it was recorded. What changed is checked: the key must still
// be the one that was decided about.
func (s *Signer) resume(requests []*Request) {
	for _, r := range requests {
		key := s.keys.byName[r.Key]
		if s.begin() != nil {
			return
		}
		s.watch.open(r.ID)
		if key == nil || key.Pin.Fingerprint() != r.KeyFingerprint {
			s.finish(r, Failed, "its key "+r.Key+" ("+r.KeyFingerprint+") is no longer configured")
			s.signing.Done()
			continue
		}
		s.log.Info("request is taken up again", zap.String("id", r.ID))
		key.rejoin()
		go s.execute(r, key)
	}
}
