package idtoken

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// How long keys that were got from an issuer are good for.
const (
	// freshFor: after that they are asked for again. It is also how long a key that
	// the issuer has retired may still verify tokens.
	freshFor = 10 * time.Minute
	// keptFor: so long they are used while the issuer cannot be asked.
	keptFor = 24 * time.Hour
	// askEvery: an issuer is asked no more often, however many tokens with unknown
	// keys arrive, and whether it answers or not.
	askEvery = 30 * time.Second
	// patience is how long one round of asking may take.
	patience = 10 * time.Second
)

// remote is the keys of an issuer that are got from it, when a token needs them.
type remote struct {
	conf Issuer
	now  func() time.Time
	log  *zap.Logger
	ask  func(context.Context) (*keySet, error)
	gate chan struct{} // holds one: who asks

	mu     sync.Mutex
	latest answer
}

// answer is what is known of the issuer's keys.
type answer struct {
	keys    *keySet   // nil: none were ever got
	fetched time.Time // when keys were asked for
	tried   time.Time // when the issuer was asked last, with success or without
	tries   int       // how often it was asked
	round   int       // how often keys were got
	failed  bool      // the last try
}

func newRemote(conf Issuer, now func() time.Time, log *zap.Logger) *remote {
	f := newFetcher(conf)
	return &remote{conf: conf, now: now, log: log, ask: f.keys, gate: make(chan struct{}, 1)}
}

var _ keySource = (*remote)(nil)

func (r *remote) find(ctx context.Context, kid, alg string) (keys, error) {
	before := r.known().round
	for {
		a, now := r.known(), r.now()
		var found keys
		if a.keys != nil && within(now, a.fetched, keptFor) {
			found = a.keys.find(kid, alg)
		}
		if a.keys != nil && a.keys.knows(kid) && within(now, a.fetched, freshFor) {
			return found, notFor(found, r.conf.Name, kid, alg)
		}
		if wait := r.mustWait(a, now); wait > 0 {
			return found, r.notFound(found, a, kid, alg, a.round > before, wait)
		}
		if !r.enter(ctx, len(found) == 0) {
			if len(found) > 0 {
				return found, nil // somebody else is asking; these will do
			}
			return nil, &UnavailableError{r.conf.Name, "others are waiting for its keys", time.Second}
		}
		r.takeTurn(ctx, a.tries)
	}
}

// notFor is the error for a key that is known and for other algorithms only.
func notFor(found keys, issuer, kid, alg string) error {
	if len(found) > 0 {
		return nil
	}
	return refused("the key %s of issuer %s is not for %s", quote(kid), issuer, alg)
}

// within reports whether then was less than d ago. What is in the future was not:
// the clock was set back.
func within(now, then time.Time, d time.Duration) bool {
	age := now.Sub(then)
	return 0 <= age && age < d
}

// mustWait is how long the issuer is not to be asked again.
func (r *remote) mustWait(a answer, now time.Time) time.Duration {
	if a.tried.IsZero() || !within(now, a.tried, askEvery) {
		return 0
	}
	return askEvery - now.Sub(a.tried)
}

// notFound says why there are no keys, if there are none, while the issuer must
// not be asked. A key that is in an answer asked for since the token came is
// absent for certain; one that is not in an older answer may be new.
func (r *remote) notFound(found keys, a answer, kid, alg string, asked bool, wait time.Duration) error {
	switch {
	case len(found) > 0:
		return nil
	case a.failed:
		return &UnavailableError{r.conf.Name, "its keys cannot be got", wait}
	case asked:
		return refused("issuer %s has no key %s for %s: is it retired, or is the token from elsewhere?", r.conf.Name, quote(kid), alg)
	}
	return &UnavailableError{r.conf.Name, "key " + quote(kid) + " is not among its keys, which were got just now; it is looked for again if it is new", wait}
}

// enter takes the turn to ask. With wait, it waits for it until ctx ends.
func (r *remote) enter(ctx context.Context, wait bool) bool {
	select {
	case r.gate <- struct{}{}:
		return true
	default:
	}
	if !wait {
		return false
	}
	select {
	case r.gate <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// takeTurn asks the issuer, unless somebody did while this waited for its turn, and
// gives the turn back.
func (r *remote) takeTurn(ctx context.Context, tries int) {
	defer func() { <-r.gate }()
	if r.known().tries == tries {
		r.refresh(ctx)
	}
}

// refresh asks the issuer for its keys. It does not end when the caller hangs up:
// somebody who does that again and again must not keep everybody from new keys.
func (r *remote) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	asked := r.now()
	set, err := r.ask(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest.tried, r.latest.failed = asked, err != nil
	r.latest.tries++
	if err != nil {
		r.log.Warn("the keys of a token issuer cannot be got",
			zap.Error(err), zap.Bool("have_keys", r.latest.keys != nil), zap.Time("fetched", r.latest.fetched))
		return
	}
	r.latest.keys, r.latest.fetched = set, asked
	r.latest.round++
}

func (r *remote) known() answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}
