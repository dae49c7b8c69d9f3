package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
	"github.com/bundlesign/bundlesign/signer"
)

// Module is one token behind one vendor's module: the child process that holds it
// now, or the next one. Keys of the token share it.
type Module struct {
	cfg  Config
	name string // of the token, for messages
	log  *zap.Logger
	pin  *pin
	// records keeps PINs from being tried too often.
	records *pinrecord.Store
	// ctx ends when the module is closed; attempts run under it, because they
	// belong to all callers.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // attempts, and processes that are ending

	mu       sync.Mutex
	closed   bool
	sessions int           // to ask for when the next child is started
	timeout  time.Duration // for opening the module and logging in
	current  *process
	attempt  *attempt // to start a child, under way
	failures int      // in a row
	next     time.Time
	last     error     // why the newest child ended or did not start
	reloaded time.Time // when a child was last ended because a new session did not help
	padAsked bool      // somebody was asked for the PIN on the token's keypad, and has not given it
}

// attempt is something that one caller began and several wait for.
type attempt struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewModule returns a module that is not started before its first use.
func NewModule(cfg Config) *Module {
	m := &Module{
		cfg:      cfg,
		name:     cfg.String(),
		log:      cfg.Logger.With(zap.String("token", cfg.Token.String()), zap.String("module", cfg.module())),
		pin:      newPIN(cfg.PIN, cfg.CredentialsDir),
		records:  pinrecord.New(cfg.PINRecords, time.Now),
		sessions: 1,
		timeout:  openTimeout,
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close ends the child process. The module's keys must have been closed before; a
// start that is under way is broken off, unless the PIN is with the token at this
// moment.
func (m *Module) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.wg.Wait()
	m.mu.Lock()
	p := m.current
	m.current = nil
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.stop()
}

// do runs f with the child, and a second time with a new child or after a new
// login if that is what the way it failed calls for. That a child was not given the
// PIN for the use of a key yet is no failure: each child is given it when it asks.
func (m *Module) do(ctx context.Context, f func(*process) error) error {
	var confirmed *process
	for retried := false; ; {
		p, login, err := m.ready(ctx)
		if err != nil {
			return err
		}
		if err = f(p); err == nil {
			p.worked.Store(true)
			p.failures.Store(0)
			return nil
		}
		if isKind(err, proto.KindKeyConfirm) && confirmed != p {
			confirmed = p
			if err = m.confirm(ctx, p); err == nil {
				continue
			}
		}
		helped, mendErr := m.mend(ctx, p, login, err)
		if mendErr != nil {
			return mendErr
		}
		if !helped || retried {
			return err
		}
		retried = true
	}
}

// mend does what the way that a call failed calls for, and reports whether the call
// may then be made again.
func (m *Module) mend(ctx context.Context, p *process, login int, err error) (bool, error) {
	var gone *goneError
	var hung *hungError
	if errors.As(err, &gone) || errors.As(err, &hung) {
		return true, nil // the process is gone, or going; there will be another
	}
	var fault *proto.Fault
	if !errors.As(err, &fault) || fault.Kind != proto.KindCall {
		return false, nil
	}
	if fault.Code.RefusesPIN() {
		m.refusedConfirm(p, fault)
		return false, nil
	}
	switch fault.Code.Class() {
	case ckr.Relogin:
		return true, m.relogin(ctx, p, login)
	case ckr.Reload:
		p.end(fmt.Errorf("the module failed: %w", fault))
		return true, nil
	case ckr.Retry, ckr.NewSession:
		// The child has done that, so it is more than a session that is no good. A
		// token that is full is just full.
		if fault.Code != ckr.SessionCount && m.mayReload(p) {
			p.end(fmt.Errorf("the module fails in a new session too: %w", fault))
			return true, nil
		}
	}
	return false, nil
}

// mayReload reports whether a process is to be replaced because a new session did
// not help. That is not done again and again for one call that never succeeds while
// others do, nor lightly where somebody has to type the PIN.
func (m *Module) mayReload(p *process) bool {
	const pause = 30 * time.Second
	nothingWorks := p.failures.Add(1) > 1
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); nothingWorks || !m.cfg.PIN.IsZero() && now.Sub(m.reloaded) >= pause {
		m.reloaded = now
		return true
	}
	return false
}

// ready returns a child in which the module is open and the token logged in,
// starting one if there is none, and how many times it has logged in.
func (m *Module) ready(ctx context.Context) (p *process, logins int, err error) {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return nil, 0, errClosed
		}
		m.bury()
		if p := m.current; p != nil {
			logins := p.logins
			m.mu.Unlock()
			return p, logins, nil
		}
		if m.attempt == nil {
			if wait := time.Until(m.next); wait > 0 {
				err := fmt.Errorf("%w (after %d failures in a row; the next attempt is made in %s)", m.last, m.failures, wait.Round(time.Millisecond))
				m.mu.Unlock()
				return nil, 0, err
			}
			m.attempt = m.begin(m.start)
		}
		a := m.attempt
		m.mu.Unlock()
		if err := a.wait(ctx); err != nil {
			return nil, 0, err
		}
	}
}

// bury takes note that the current child has ended. The caller holds mu.
func (m *Module) bury() {
	p := m.current
	if p == nil || p.why() == nil {
		return
	}
	if p.worked.Load() {
		m.failures = 0
	}
	m.failed(fmt.Errorf("%w: pkcs11 %s: %w", signer.ErrUnavailable, m.name, p.why()))
	m.current = nil
	m.wg.Go(func() {
		if err := p.waitGone(); err != nil {
			m.log.Error("pkcs11 module's process is left behind", zap.Error(err))
		}
	})
}

// failed takes note of one more failure in a row. The caller holds mu.
func (m *Module) failed(err error) {
	m.failures++
	m.last = err
	m.next = time.Now().Add(backoff(m.failures))
}

// begin starts an attempt. The caller holds mu and has seen that the module is
// not closed.
func (m *Module) begin(f func() error) *attempt {
	a := &attempt{done: make(chan struct{})}
	m.wg.Go(func() {
		a.err = f()
		close(a.done)
	})
	return a
}

func (a *attempt) wait(ctx context.Context) error {
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("pkcs11: waiting for the module to open: %w", ctx.Err())
	}
}

// relogin logs in again in a child that was logged in so many times, unless
// somebody else has done it since.
func (m *Module) relogin(ctx context.Context, p *process, logins int) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errClosed
	}
	if p.logins != logins {
		m.mu.Unlock()
		return nil
	}
	if p.relogin == nil {
		p.relogin = m.begin(func() error {
			err := m.login(p)
			m.mu.Lock()
			defer m.mu.Unlock()
			p.relogin = nil
			p.logins++
			return err
		})
	}
	a := p.relogin
	m.mu.Unlock()
	return a.wait(ctx)
}
