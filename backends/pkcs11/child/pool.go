package child

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// session is a place in the pool: a session, once it is opened, and the keys that
// were found in it. Whoever has taken it from the pool is its only user, so it
// needs no lock.
type session struct {
	handle pkcs11.SessionHandle
	open   bool
	login  uint64 // the value of token.logins when keys were found
	keys   map[proto.Selector]pkcs11.ObjectHandle
}

// pool holds the sessions that nobody uses.
type pool struct {
	free  chan *session
	total atomic.Int32 // places, free or taken
	open  atomic.Int32 // places with an open session
}

func (p *pool) fill(n int) {
	p.free = make(chan *session, n)
	p.total.Store(int32(n))
	for range n {
		p.free <- &session{}
	}
}

// drain takes every place out of the pool, waiting for those in use.
func (p *pool) drain(end func(*session)) {
	for range p.total.Load() {
		end(<-p.free)
	}
}

// withSession runs f with a session of its own, and once more if the way that it
// failed calls for that. What is beyond a new session is left to the daemon, which
// has the PIN and can start a new process.
func (t *token) withSession(f func(*session) error) error {
	s, err := t.take()
	if err != nil {
		return err
	}
	defer func() { t.pool.free <- s }()
	err = f(s)
	switch classOf(err) {
	case ckr.Retry:
		return f(s)
	case ckr.NewSession:
		t.closeSession(s)
		if err := t.openSession(s); err != nil {
			return err
		}
		return f(s)
	}
	return err
}

// take waits for a free place and opens its session if need be. A token that
// allows fewer sessions than it said, or shares them with others, makes the pool
// smaller: a place that cannot be opened is given up while another one is open.
func (t *token) take() (*session, error) {
	for {
		s := <-t.pool.free
		if s.open {
			return s, nil
		}
		err := t.openSession(s)
		if err == nil {
			return s, nil
		}
		if !isCode(err, ckr.SessionCount) || t.pool.open.Load() == 0 {
			t.pool.free <- s
			return nil, err
		}
		left := t.pool.total.Add(-1)
		fmt.Fprintf(os.Stderr, "the token allows no more sessions: going on with %d\n", left)
	}
}

func (t *token) openSession(s *session) error {
	handle, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return try("C_OpenSession", err)
	}
	s.handle, s.open = handle, true
	s.keys = make(map[proto.Selector]pkcs11.ObjectHandle)
	t.pool.open.Add(1)
	return nil
}

func (t *token) closeSession(s *session) {
	if !s.open {
		return
	}
	// A session that is no good may well not be closed properly either.
	_ = t.ctx.CloseSession(s.handle)
	s.open, s.keys = false, nil
	t.pool.open.Add(-1)
}
