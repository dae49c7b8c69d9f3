// Package client is the Go client of the bundlesignd API, over its Unix socket.
//
// Its job is that one call is one outcome, whatever happens on the way: a
// submission is repeated when the connection is lost or the daemon is busy, which
// knows it again and spends nothing twice; waiting for a request survives a
// restart of the daemon; and an error says what was found at the socket.
//
// Its invariant is that nothing is believed because the daemon said it:
// [CheckSigned] holds an answer against what was asked, against the app's public
// key and against the audit log, and a caller writes nothing before it has;
// [CheckStatement] and [CheckThaw] say whether a text is one that a person can
// read, and a caller shows and signs none before they have.
//
// The package speaks the JSON of package wire and links nothing of the daemon.
package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// DefaultSocket is where the daemon listens unless it is configured otherwise.
const DefaultSocket = "/run/bundlesignd/bundlesignd.sock"

const (
	// attemptTimeout is how long one attempt may take beyond the time that the
	// daemon was asked to hold it: a key behind a network may take this long.
	attemptTimeout = 60 * time.Second
	// pollWait is how long the daemon is asked to hold a long poll.
	pollWait = 30 * time.Second
	// maxAnswer bounds an answer in memory, in bytes. A signed delta update of
	// 10,000 files has about 7 MB.
	maxAnswer = 64 << 20
)

// Client calls one daemon. It is safe for concurrent use. The zero value is not
// usable; make one with [New].
type Client struct {
	socket    string // as it is shown
	http      *http.Client
	userAgent string
	reconnect time.Duration
	observe   func(Notice)
	token     string // OIDC ID token for submissions, or ""

	// Of a socket that is an address.
	ssh        *sshTarget        // nil: a Unix socket on this machine
	badAddress *UnreachableError // it is of no use

	// The outside world, replaced in tests.
	now    func() time.Time
	sleep  func(context.Context, time.Duration) error
	jitter func() float64 // in [0, 1)
}

// Option changes what [New] returns.
type Option func(*Client)

// WithUserAgent sets the User-Agent header; the daemon logs it.
func WithUserAgent(s string) Option { return func(c *Client) { c.userAgent = s } }

// WithReconnect sets for how long a call goes on trying to reach a daemon that
// has gone away in the middle of it; 0 gives up at once. The default is one
// minute. A daemon that is not there when a call begins is an error at once.
func WithReconnect(d time.Duration) Option { return func(c *Client) { c.reconnect = d } }

// WithObserver has f told why a call takes long. It is called from the goroutine
// of the call and must not block.
func WithObserver(f func(Notice)) Option { return func(c *Client) { c.observe = f } }

// New returns a client of the daemon at socket: the path of a Unix socket, or
// ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET], which is reached through the ssh
// program. It does not connect yet: an address that is of no use fails the first
// call, with an [*UnreachableError] whose reason is [BadAddress].
func New(socket string, opts ...Option) *Client {
	shown, target, bad := address(socket)
	c := &Client{
		socket:     shown,
		ssh:        target,
		badAddress: bad,
		userAgent:  "bundlesign-client",
		reconnect:  time.Minute,
		observe:    func(Notice) {},
		now:        time.Now,
		sleep:      sleep,
		jitter:     rand.Float64,
	}
	for _, o := range opts {
		o(c)
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:         c.dial,
			DisableCompression:  true,
			IdleConnTimeout:     30 * time.Second,
			MaxIdleConns:        16,
			MaxIdleConnsPerHost: 16,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Socket returns the path or address that the client was made with. Of an address
// that is of no use it returns no more than what can be shown.
func (c *Client) Socket() string { return c.socket }

// Close closes connections that are idle. Those through ssh are gone, and their
// processes too, when it returns.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
