package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
)

// maxIdempotencyKey is the longest idempotency key in bytes.
const maxIdempotencyKey = 128

// CheckIdempotencyKey says what is wrong with a key, if anything: it is 1 to 128
// printable ASCII characters, so that it can be a header. The daemon may have
// more to say.
func CheckIdempotencyKey(key string) error {
	if key == "" || len(key) > maxIdempotencyKey {
		return fmt.Errorf("idempotency key: found %d characters, want 1 to %d", len(key), maxIdempotencyKey)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return fmt.Errorf("idempotency key: found byte %#02x at position %d, want printable ASCII characters only", key[i], i)
		}
	}
	return nil
}

// Submit asks for a signature and returns what the daemon answers first: a
// request that is signed, or one that is not yet finished. The daemon recognises
// the same submission of the same user and spends nothing twice; so it is made
// again when the connection is lost and when the daemon is busy, until ctx ends.
//
// With an idempotencyKey the daemon gives the same request for ever, whatever
// became of it. Without one ("") it decides again about a submission that was
// denied under another policy or that failed, which is what most callers want.
func (c *Client) Submit(ctx context.Context, sub *wire.Submit, idempotencyKey string) (*wire.Signature, error) {
	header, err := c.authorization()
	if err != nil {
		return nil, err
	}
	if idempotencyKey != "" {
		if err := CheckIdempotencyKey(idempotencyKey); err != nil {
			return nil, err
		}
		header["Idempotency-Key"] = idempotencyKey
	}
	body, err := json.Marshal(sub)
	if err != nil {
		return nil, fmt.Errorf("encoding the submission: %w", err)
	}
	sig := new(wire.Signature)
	err = c.getJSON(ctx, call{
		method: http.MethodPost,
		path:   "/v1/signatures",
		header: header,
		body:   body,
		retry:  retryRule{repeatable: true},
	}, sig)
	if err != nil {
		return nil, ended(err)
	}
	if sig.ID == "" {
		return nil, &ProtocolError{Detail: "found a request without an id"}
	}
	return sig, nil
}

// ended makes a [*StateError] of the refusal that names a request which has come
// to an end already.
func ended(err error) error {
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemConflict || p.RequestID == "" {
		return err
	}
	sig := &wire.Signature{ID: p.RequestID, State: p.State, Rule: p.Rule, PolicyHash: p.PolicyHash}
	sig.Reason = strings.TrimPrefix(p.Detail, fmt.Sprintf("request %s is %s: ", p.RequestID, p.State))
	if _, end := outcome(sig); end != nil {
		return end
	}
	return err
}

// SubmitAndWait submits and waits until the request is signed. It fails with
// [*StateError] if the request ends otherwise, and with [*PendingError] if ctx
// ends first. A restart of the daemon in between does not matter.
func (c *Client) SubmitAndWait(ctx context.Context, sub *wire.Submit, idempotencyKey string) (*wire.Signature, error) {
	sig, err := c.Submit(ctx, sub, idempotencyKey)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx, sig)
}

// Wait waits for a request that was submitted before, as [Client.SubmitAndWait]
// does.
func (c *Client) Wait(ctx context.Context, id string) (*wire.Signature, error) {
	sig, err := c.Signature(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx, sig)
}

func (c *Client) wait(ctx context.Context, sig *wire.Signature) (*wire.Signature, error) {
	for quick := 0; ; {
		done, err := outcome(sig)
		if err != nil {
			return nil, err
		}
		if done {
			return sig, nil
		}
		c.observe(Notice{Pending: sig})
		asked := c.now()
		hold := pollWait
		if deadline, ok := ctx.Deadline(); ok {
			hold = max(min(hold, deadline.Sub(asked)).Truncate(time.Millisecond), time.Millisecond)
		}
		next, err := c.poll(ctx, sig.ID, hold)
		if err != nil && (ctx.Err() != nil || errors.Is(err, errNoTime)) {
			return nil, &PendingError{Signature: sig, Err: err}
		}
		if err != nil {
			return nil, fmt.Errorf("waiting for request %s: %w", sig.ID, err)
		}
		sig = next
		// A daemon that does not hold polls must not be asked in a tight loop.
		if c.now().Sub(asked) > hold/2 {
			quick = 0
			continue
		}
		if err := c.sleep(ctx, c.backoff(quick)); err != nil {
			return nil, &PendingError{Signature: sig, Err: err}
		}
		quick++
	}
}

// poll asks for a request that the daemon has answered about before.
func (c *Client) poll(ctx context.Context, id string, hold time.Duration) (*wire.Signature, error) {
	cl := get(signaturePath(id), url.Values{"wait": {hold.String()}})
	cl.hold = hold
	cl.retry.begun = true
	return c.signature(ctx, cl, id)
}

func signaturePath(id string) string { return "/v1/signatures/" + url.PathEscape(id) }

// signature makes a call that is answered with request id.
func (c *Client) signature(ctx context.Context, cl call, id string) (*wire.Signature, error) {
	sig := new(wire.Signature)
	if err := c.getJSON(ctx, cl, sig); err != nil {
		return nil, err
	}
	if sig.ID != id {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found request %s, asked for %s", quote(sig.ID), quote(id))}
	}
	return sig, nil
}
