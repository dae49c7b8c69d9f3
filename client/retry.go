package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
)

const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
	// retryAfterMost bounds what a daemon can make a client wait at a time.
	retryAfterMost = 5 * time.Minute
)

// errNoTime is in the chain of the last error of a call that was not made again
// because its deadline would have come first.
var errNoTime = errors.New("no time left to try again")

// retryRule says when a call is made again.
type retryRule struct {
	// repeatable: made twice, the call does what it does once.
	repeatable bool
	// begun: the daemon has already answered an earlier call of the same
	// undertaking, so that one which cannot be reached is restarting.
	begun bool
}

// do makes a call, and again while that may help:
//   - when the daemon says with Retry-After that it is busy, until ctx ends;
//   - when the connection is lost, or a daemon that had answered is gone, for as
//     long as [WithReconnect] says.
//
// It does not begin to wait for what would come after ctx's deadline.
func (c *Client) do(ctx context.Context, cl call) ([]byte, error) {
	var goneSince time.Time
	for attempt := 0; ; attempt++ {
		body, err := c.attempt(ctx, cl)
		if err == nil || !cl.retry.repeatable || ctx.Err() != nil {
			return body, err
		}
		var delay time.Duration
		var prob *wire.Problem
		var gone *UnreachableError
		switch {
		case errors.As(err, &prob) && retryAfter(prob) > 0:
			delay = retryAfter(prob) + c.spread(backoffFirst<<min(attempt, 4))
			cl.retry.begun, goneSince = true, time.Time{}
		case errors.As(err, &gone) && (cl.retry.begun || mayComeBack(gone.Reason)):
			if goneSince.IsZero() {
				goneSince = c.now()
			}
			delay = c.backoff(attempt)
			if c.now().Add(delay).Sub(goneSince) > c.reconnect {
				return nil, err
			}
			cl.retry.begun = true
		default:
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok && c.now().Add(delay).After(deadline) {
			return nil, fmt.Errorf("%w (%w)", err, errNoTime)
		}
		c.observe(Notice{Err: err, Delay: delay})
		if cause := c.sleep(ctx, delay); cause != nil {
			return nil, fmt.Errorf("%w (gave up: %w)", err, cause)
		}
	}
}

// retryAfter returns how long the daemon asks to wait before the call is made
// again, or 0 if that would not help.
func retryAfter(p *wire.Problem) time.Duration {
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests {
		return 0
	}
	return min(time.Duration(p.RetryAfter)*time.Second, retryAfterMost)
}

// mayComeBack reports whether there was a daemon at the socket just now.
func mayComeBack(r Unreachable) bool { return r == Lost || r == Overloaded || r == NoAnswer }

// backoff returns the pause before attempt+1: doubling, with half of it random
// so that many clients do not come back at the same moment.
func (c *Client) backoff(attempt int) time.Duration {
	d := min(backoffFirst<<min(attempt, 10), backoffMost)
	return d/2 + c.spread(d/2)
}

func (c *Client) spread(d time.Duration) time.Duration {
	return time.Duration(c.jitter() * float64(d))
}
