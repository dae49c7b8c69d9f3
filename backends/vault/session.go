package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	// refusedPause is how long a credential that Vault refused is not tried again,
	// unless its file changes. Vault locks a role out after five failures in fifteen
	// minutes.
	refusedPause = 4 * time.Minute
	// freshPause is how long a token that was never good for anything is not
	// replaced by logging in again.
	freshPause = 30 * time.Second
	endTimeout = 2 * time.Second
)

// sessions is how a key gets and keeps a token.
type sessions struct {
	cfg       Config
	uri       *URI
	timeout   time.Duration
	transport *transport
	method    method
	secrets   secrets
	logger    *zap.Logger
	now       func() time.Time
	wait      func(context.Context, time.Duration) error
	// needs says, in a message about a token that is not allowed to do something, what
	// it must be allowed.
	needs string

	login       *login // shared with the other keys that have it
	jwtValidity string // of the newest JWT; under login.turn

	mu      sync.Mutex
	current *session
	logins  int
}

// session is a token and what is known of it.
type session struct {
	client *api.Client
	source secretfile.ID // the state of the file that a token was read from
	began  time.Time
	used   atomic.Bool // it was good for something

	renewing atomic.Bool // somebody is at it

	// Under sessions.mu:
	lease   time.Duration // as first granted; 0: it does not expire, or nobody knows when
	expires time.Time     // zero with lease 0
	renewAt time.Time     // zero with lease 0
	renew   bool          // Vault may prolong it
}

// granted notes how long Vault lets the token live from now on.
func (s *session) granted(lease time.Duration, renewable bool, now time.Time) {
	s.renew = renewable
	if lease <= 0 {
		s.lease, s.expires, s.renewAt = 0, time.Time{}, time.Time{}
		return
	}
	if s.lease == 0 {
		s.lease = lease
	}
	if lease < s.lease/2 {
		s.renew = false // its greatest age is near
	}
	s.expires, s.renewAt = now.Add(lease), now.Add(lease*2/3)
}

func newSessions(cfg Config, t *transport) *sessions {
	s := &sessions{
		cfg: cfg, uri: cfg.URI, timeout: cfg.Timeout, transport: t,
		logger: cfg.Logger, now: time.Now, wait: wait, login: cfg.Logins.at(cfg.URI),
	}
	s.needs = fmt.Sprintf("update on %s/sign/%s and read on %s/keys/%s", s.uri.Mount, s.uri.Key, s.uri.Mount, s.uri.Key)
	s.method = newMethod(s)
	return s
}

// do runs f with a client that has a token, and once more if that can help. It returns
// errors that are fit for the core, but for those of f with a status that is not about
// the token: they are returned as they came.
func (s *sessions) do(ctx context.Context, doing string, f func(*api.Client) error) error {
	return s.try(ctx, doing, broken, f)
}

// doOnce is do for what must not be done twice: f is run again only after an answer
// that says that nothing was done.
func (s *sessions) doOnce(ctx context.Context, doing string, f func(*api.Client) error) error {
	return s.try(ctx, doing, func(error) bool { return false }, f)
}

// try runs f, and once more if Vault wants another token, or repeat says so. A quota is
// waited for.
func (s *sessions) try(ctx context.Context, doing string, repeat func(error) bool, f func(*api.Client) error) error {
	quota := patience{left: s.timeout, next: firstPause, wait: s.wait}
	for again := true; ; {
		session, err := s.get(ctx)
		if err != nil {
			return err
		}
		err = f(session.client)
		switch {
		case err == nil:
			session.used.Store(true)
			return nil
		case ctx.Err() != nil:
			return s.fault(ctx, doing, err)
		case errors.Is(err, errSlow):
			// The connections that are open may lead into the same hole.
			s.transport.closeIdle()
			return s.fault(ctx, doing, err)
		case status(err) == http.StatusForbidden:
			if why := s.denied(ctx, session, doing, err); why != nil || !again {
				return cmp.Or(why, s.fault(ctx, doing, err))
			}
			again = false
		case status(err) == http.StatusTooManyRequests && quota.after(ctx, err):
		case again && repeat(err):
			again = false
		default:
			return err
		}
	}
}

// get returns a session that should be good.
func (s *sessions) get(ctx context.Context) (*session, error) {
	asked := s.now()
	if session := s.good(asked); session != nil {
		s.keep(ctx, session)
		if session = s.good(s.now()); session != nil {
			return session, nil
		}
	}
	select {
	case s.login.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, s.fault(ctx, "waiting for a token", ctx.Err())
	}
	defer func() { <-s.login.turn }()
	if session := s.good(s.now()); session != nil {
		return session, nil
	}
	if err := s.lately(asked); err != nil {
		return nil, err
	}
	return s.logIn(ctx)
}

// good returns the session there is, unless it is known to be of no more use.
func (s *sessions) good(now time.Time) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current
	if c == nil || c.lease > 0 && !now.Before(c.expires) || s.method.changed(c.source) {
		return nil
	}
	return c
}

// lately returns how the newest try to log in failed, if there is no sense in another:
// it was made while the caller waited, or Vault refused this very credential.
func (s *sessions) lately(asked time.Time) error {
	l := s.login
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		return nil
	}
	failure := l.failure
	if l.by != s {
		failure = fmt.Errorf("vault %s: as another key with the same login: %w", s.uri.name(), failure)
	}
	if l.failedAt.After(asked) {
		return failure
	}
	if l.refused && l.with == s.method.state() && s.now().Sub(l.failedAt) < refusedPause {
		return fmt.Errorf("%w (not tried again until the file changes or %s have passed, since Vault locks out who fails too often)", failure, refusedPause)
	}
	return nil
}

// logIn gets a new session. The caller has the turn.
func (s *sessions) logIn(ctx context.Context) (*session, error) {
	with := s.method.state()
	got, err := s.method.login(ctx)
	if err != nil {
		if ctx.Err() == nil { // else it says nothing to others
			// Reading a file again costs nothing.
			refused := s.uri.Auth != Token && errors.Is(err, signer.ErrKeyUnusable)
			s.login.failed(s, err, s.now(), with, refused)
		}
		return nil, err
	}
	s.login.worked()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = got
	s.logins++
	s.logger.Info("got a token from vault", zap.String("key", s.uri.name()), zap.String("auth", string(s.uri.Auth)), zap.Duration("lease", got.lease))
	return got, nil
}

// keep prolongs a session that is two thirds through its lease, or replaces it. While
// it has time left, failing to is no reason to fail.
func (s *sessions) keep(ctx context.Context, c *session) {
	s.mu.Lock()
	due, renew := c.lease > 0 && !s.now().Before(c.renewAt), c.renew
	s.mu.Unlock()
	if !due || !c.renewing.CompareAndSwap(false, true) {
		return
	}
	defer c.renewing.Store(false)
	if renew {
		var answer authAnswer
		err := request(ctx, c.client, s.timeout, "auth/token/renew-self", struct{}{}, &answer)
		if err == nil && answer.Auth != nil {
			s.mu.Lock()
			c.granted(answer.Auth.lease(), answer.Auth.Renewable, s.now())
			s.mu.Unlock()
			return
		}
		if code := status(err); code != http.StatusBadRequest && code != http.StatusForbidden {
			s.later(c)
			return
		}
	}
	if s.uri.Auth == Token {
		s.later(c) // only who made the token can make another
		return
	}
	select {
	case s.login.turn <- struct{}{}:
		defer func() { <-s.login.turn }()
		if s.good(s.now()) == c && s.lately(s.now()) == nil {
			if _, err := s.logIn(ctx); err != nil {
				s.later(c)
			}
		}
	default: // somebody is at it
	}
}

// later puts off the next try to keep a session.
func (s *sessions) later(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c.renewAt = now.Add(max(c.expires.Sub(now)/4, time.Second))
}

// denied finds out why Vault answered 403. It returns nil if another token may help,
// which the next call of get will then look for.
func (s *sessions) denied(ctx context.Context, c *session, doing string, cause error) error {
	where := fmt.Sprintf("vault %s: %s", s.uri.name(), doing)
	err := request(ctx, c.client, s.timeout, "auth/token/lookup-self", nil, nil)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s: the token is good, but its policies do not allow it: they need %s%s",
			signer.ErrKeyUnusable, where, s.needs, s.said(cause))
	case status(err) != http.StatusForbidden:
		return s.fault(ctx, doing, err)
	case s.uri.Auth == Token:
		if s.method.changed(c.source) {
			return nil // a new one has come meanwhile
		}
		path, _ := s.uri.TokenFile.path(s.cfg.CredentialsDir)
		return fmt.Errorf("%w: %s: vault does not know the token in %s: it has expired, was revoked or is of another vault; write a new one to the file and it is used at once", signer.ErrKeyUnusable, where, path)
	case !c.used.Load() && s.now().Sub(c.began) < freshPause && !s.expired(c):
		return fmt.Errorf("%w: %s: logging in with %s worked, but the token that it gave may do nothing here: check the policies of the role, and the namespace%s", signer.ErrKeyUnusable, where, s.uri.Auth, s.said(cause))
	}
	s.forget(c)
	return nil
}

// expired reports whether the time is over that Vault gave a token.
func (s *sessions) expired(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.lease > 0 && !s.now().Before(c.expires)
}

// forget gives up a session whose token is dead.
func (s *sessions) forget(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == c {
		s.current = nil
		s.logger.Info("vault does not know the token any more", zap.String("key", s.uri.name()))
	}
}

// end revokes the token, if it was made for us.
func (s *sessions) end() {
	s.mu.Lock()
	c := s.current
	s.current = nil
	s.mu.Unlock()
	if c == nil || s.uri.Auth == Token {
		return
	}
	if err := request(context.Background(), c.client, endTimeout, "auth/token/revoke-self", struct{}{}, nil); err != nil {
		s.logger.Info("could not revoke the token; it expires by itself", zap.String("key", s.uri.name()), zap.String("error", s.show(err.Error())))
	}
}
