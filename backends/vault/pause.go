package vault

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Vault answers 429 to who asks more often than its quotas allow. Such an answer is
// waited out within the time that one request may take: a long batch is no reason to
// fail, and an error would have the whole of it begun anew.

const (
	// firstPause doubles at each refusal that does not say how long to wait, up to
	// lastPause, after which any rate limit of Vault's has begun a new interval: of 1 s
	// unless it was configured.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	// mostRetryAfter bounds what is believed of Retry-After: whoever sits between us
	// and Vault must not put a key out of service for a day.
	mostRetryAfter = time.Minute
)

// hinted is an error that knows when the same request is worth another try, as
// [signer.Key] says it should.
type hinted struct {
	error
	after time.Duration
}

func (h *hinted) RetryAfter() time.Duration { return h.after }
func (h *hinted) Unwrap() error             { return h.error }

// hint adds what an answer says about coming back to the error that was made of it.
func hint(err error, answer *http.Response) error {
	if err == nil || answer == nil {
		return err
	}
	if after := retryAfter(answer.Header, time.Now()); after > 0 {
		return &hinted{err, after}
	}
	return err
}

// passHint makes the hint of one error another's.
func passHint(err, from error) error {
	if after := hintOf(from); after > 0 {
		return &hinted{err, after}
	}
	return err
}

// hintOf returns the hint in an error, or 0.
func hintOf(err error) time.Duration {
	var h *hinted
	if errors.As(err, &h) {
		return h.after
	}
	return 0
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), in seconds or as a date. It
// returns 0 if there is none, and 1 s to one minute otherwise: Vault rounds down.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		after = date.Sub(now)
	} else {
		return 0
	}
	return min(max(after, time.Second), mostRetryAfter)
}

// patience is how long one request has waited for a quota.
type patience struct {
	left time.Duration
	next time.Duration // pause, if the answer does not say
	wait func(context.Context, time.Duration) error
}

// after waits because of an answer of 429. It returns false if that would take too long,
// or ctx ended.
func (p *patience) after(ctx context.Context, err error) bool {
	pause := hintOf(err)
	if pause == 0 {
		pause = p.next
		p.next = min(2*p.next, lastPause)
	}
	if pause > p.left {
		return false
	}
	p.left -= pause
	return p.wait(ctx, pause) == nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
