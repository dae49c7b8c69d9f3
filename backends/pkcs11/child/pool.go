package child

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// growAfter is how long after the token had no session to give it is asked for one
// again.
const growAfter = 10 * time.Second

// session is a place in the pool: a session, once it is opened, and the keys that
// were found in it. Whoever has taken it from the pool is its only user, so it
// needs no lock.
type session struct {
	handle pkcs11.SessionHandle
	open   bool
	login  uint64 // the value of token.logins when keys were found
	keys   map[proto.Selector]privateKey

	// lent: this place has no session of its own but works in the anchor's, whose
	// lock its user holds.
	lent bool
	// revived: the token had no session for this place before.
	revived bool
}

// pool holds the sessions that nobody uses.
type pool struct {
	free chan *session
	now  func() time.Time

	mu     sync.Mutex
	size   int        // places, wherever they are
	open   int        // of them with a session
	parked []*session // places that the token has no session for
	since  time.Time  // when it said so last
	lent   bool       // one place has the anchor's session
}

func (p *pool) fill(n int, now func() time.Time) {
	p.free = make(chan *session, n)
	p.size, p.now = n, now
	for range n {
		p.free <- &session{}
	}
}

// drain takes every place out of the pool, waiting for those in use.
func (p *pool) drain(end func(*session)) {
	p.mu.Lock()
	left := p.size - len(p.parked)
	p.mu.Unlock()
	for range left {
		end(<-p.free)
	}
}

// opened and closed take note of a session. It is one of the pool's places that
// has it.
func (p *pool) opened(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
}

// park takes a place out of the pool for a while, because the token has no session
// for it. It reports false if there is no other place to wait for: then the place
// is to work in the anchor's session.
func (p *pool) park(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == 0 && !p.lent {
		p.lent, s.lent = true, true
		fmt.Fprintln(os.Stderr, "the token allows no session beside the first: signatures are made one at a time")
		return false
	}
	p.parked = append(p.parked, s)
	p.since = p.now()
	if !s.revived {
		fmt.Fprintf(os.Stderr, "the token allows no more sessions: going on with %d\n", p.size-len(p.parked))
	}
	s.revived = false
	return true
}

// revive puts a parked place back if it is time to ask the token again, or at once
// if it has just been found to have more to give.
func (p *pool) revive(atOnce bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parked) == 0 || !atOnce && p.now().Sub(p.since) < growAfter {
		return
	}
	p.since = p.now()
	s := p.parked[0]
	p.parked = p.parked[1:]
	s.revived = true
	p.free <- s
}

// withSession runs f with a session of its own, and once more if the way that it
// failed calls for that, or twice if only the second failure called for a new
// session. What is beyond a new session is left to the daemon, which
// has the PIN and can start a new process.
func (t *token) withSession(f func(*session) error) error {
	s, err := t.take()
	if err != nil {
		return err
	}
	defer t.put(s)
	err = f(s)
	class := classOf(err)
	if class == ckr.Retry && s.open {
		err = f(s)
		if class = classOf(err); class == ckr.Retry {
			return err
		}
	}
	// Of a call that failed and was made again, something may be under way in the
	// session still: another session has nothing of it.
	if class == ckr.Retry || class == ckr.NewSession {
		if err := t.renew(s); err != nil {
			return err
		}
		return f(s)
	}
	return err
}

// take waits for a free place and opens its session if need be. A token that
// allows fewer sessions than it said, or shares them with others, makes the pool
// smaller until it has more to give; one that allows a single session has its
// signatures made in the anchor's.
func (t *token) take() (*session, error) {
	t.pool.revive(false)
	for {
		s := <-t.pool.free
		if s.lent {
			t.anchor.mu.Lock()
		}
		err := t.ensure(s)
		if err == nil {
			return s, nil
		}
		if s.lent || !isCode(err, ckr.SessionCount) {
			t.put(s)
			return nil, err
		}
		if !t.pool.park(s) {
			t.pool.free <- s // it is lent the anchor now
		}
	}
}

// put gives a place back.
func (t *token) put(s *session) {
	if s.lent {
		t.anchor.mu.Unlock()
	}
	t.pool.free <- s
}

// ensure opens the session of a place if it is not open.
func (t *token) ensure(s *session) error {
	if s.lent && (!t.anchor.open || t.anchor.handle != s.handle) && s.open {
		// A login has found the anchor lost and opened another.
		s.open = false
		t.pool.opened(-1)
	}
	if s.open {
		return nil
	}
	return t.openSession(s)
}

func (t *token) openSession(s *session) error {
	if s.lent {
		if err := t.holdAnchor(); err != nil {
			return err
		}
		s.handle = t.anchor.handle
	} else {
		err := again(func() (err error) {
			s.handle, err = t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION)
			return try("C_OpenSession", err)
		})
		if err != nil {
			return err
		}
	}
	s.open = true
	s.keys = make(map[proto.Selector]privateKey)
	t.pool.opened(1)
	if s.revived {
		s.revived = false
		t.pool.revive(true)
	}
	return nil
}

// renew opens another session in a place.
func (t *token) renew(s *session) error {
	t.closeSession(s)
	return t.openSession(s)
}

func (t *token) closeSession(s *session) {
	if !s.open {
		return
	}
	// A session that is no good may well not be closed properly either.
	_ = t.ctx.CloseSession(s.handle)
	if s.lent {
		t.anchor.open = false
	}
	s.open, s.keys = false, nil
	t.pool.opened(-1)
}
