package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// attempts is how often an operation is tried at most when an answer was
	// damaged or none came. Every operation gives the same result again.
	attempts = 3
	// firstDelay is before the second attempt; each further delay is twice the
	// last.
	firstDelay = 100 * time.Millisecond
)

// call runs one operation, with retries, within the timeout. What says what is being
// done, for messages. The error is a *fault, or wraps ctx's when that
// ended.
func (s *service) call(ctx context.Context, what string, op func(context.Context, *client) error) error {
	return s.repeat(ctx, what, func(f *fault, attempt int) bool { return attempt < f.tries }, op)
}

// once runs an operation that makes something. It is repeated only after an error
// that says that nothing was done.
func (s *service) once(ctx context.Context, what string, op func(context.Context, *client) error) error {
	return s.repeat(ctx, what, func(f *fault, attempt int) bool { return f.undone && attempt < f.tries }, op)
}

func (s *service) repeat(ctx context.Context, what string, again func(f *fault, attempt int) bool, op func(context.Context, *client) error) error {
	within, cancel := context.WithTimeoutCause(ctx, s.timeout, errHung)
	defer cancel()
	var last *fault
	delay := s.delay
	for attempt := 1; ; attempt++ {
		err := s.quota.wait(within, min(s.timeout/4, time.Second))
		if err == nil {
			err = s.attempt(within, op)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("gcpkms: %s: %w", what, ctx.Err())
		}
		if within.Err() != nil {
			if last == nil {
				last = &fault{kind: unavailable, text: fmt.Sprintf("no answer within %s: check the way to the service (proxy, firewall, private endpoint); a new connection is made at the next use", s.timeout)}
			}
			f := last.during(what)
			f.undone = false // what was tried last may have been done
			return f
		}
		last = s.explain(err)
		if last.wait {
			// The pause outlasts the call.
			return last.during(what)
		}
		if last.quota {
			// Not counted as an attempt: the service is well and says when to come
			// back. All callers wait, not only this one.
			attempt--
			s.quota.start(last.after)
			continue
		}
		if !again(last, attempt) {
			return last.during(what)
		}
		if !sleep(within, jitter(delay)) {
			if ctx.Err() != nil {
				return fmt.Errorf("gcpkms: %s: %w", what, ctx.Err())
			}
			return last.during(what)
		}
		delay *= 2
	}
}

// errHung is the cause of the end of a call's context when the time ran out that
// the service has, rather than that of the caller.
var errHung = errors.New("the service took too long")

// settle waits for the end of ctx if that is due. The service knows the deadline of
// a call too, and may say first that it is over: whose deadline it was shows when
// our own clock agrees.
func settle(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < time.Second {
		<-ctx.Done()
	}
}

// attempt runs op once. A client that does not answer, or whose credentials are
// refused, is not used for another call.
func (s *service) attempt(ctx context.Context, op func(context.Context, *client) error) error {
	h, err := s.clients.acquire(ctx)
	if err != nil {
		return err
	}
	defer h.release()
	err = op(ctx, h.client)
	if status.Code(err) == codes.DeadlineExceeded {
		settle(ctx)
	}
	if err == nil {
		s.quota.over()
		return nil
	}
	if errors.Is(context.Cause(ctx), errHung) || s.explain(err).drop {
		h.drop()
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter spreads d over ±25 %, so that callers who were refused together do not
// come back together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the checksum of the service's integrity fields (RFC 9260, appendix A).
func crc32c(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

// intact checks what the service sent against the checksum that it sent along. A
// missing checksum is a wrong one.
func intact(what string, data []byte, sum *wrapperspb.Int64Value) error {
	if sum == nil || sum.GetValue() != crc32c(data).GetValue() {
		return &fault{kind: unavailable, tries: attempts, text: what + " was damaged on its way here: its CRC32C is wrong or missing"}
	}
	return nil
}
