package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
)

// call is one request of the API.
type call struct {
	method string
	path   string // escaped, from /v1
	query  url.Values
	header map[string]string
	body   []byte        // JSON, or nil
	hold   time.Duration // how long the daemon was asked to hold it
	retry  retryRule
}

// get returns a call that only reads: it may be repeated.
func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, retry: retryRule{repeatable: true}}
}

// getJSON makes a call and decodes its answer into out.
func (c *Client) getJSON(ctx context.Context, cl call, out any) error {
	body, err := c.do(ctx, cl)
	if err != nil {
		return err
	}
	return decode(body, out)
}

// decode reads an answer. Members it does not know are passed over, so that a
// newer daemon can say more; what follows the value is refused.
func decode(body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return &ProtocolError{Detail: "not the JSON that was expected: " + err.Error()}
	}
	return nil
}

// attempt makes a call once.
func (c *Client) attempt(ctx context.Context, cl call) ([]byte, error) {
	inner, cancel := context.WithTimeout(ctx, attemptTimeout+cl.hold)
	defer cancel()
	target := "http://bundlesignd" + cl.path
	if len(cl.query) > 0 {
		target += "?" + cl.query.Encode()
	}
	var body io.Reader
	if cl.body != nil {
		body = bytes.NewReader(cl.body) // NewRequest makes it repeatable
	}
	req, err := http.NewRequestWithContext(inner, cl.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json, "+wire.MediaTypeProblem)
	if cl.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range cl.header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, inner, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.transportError(ctx, inner, err)
	}
	if len(answer) > maxAnswer {
		return nil, &ProtocolError{Status: resp.StatusCode, Detail: fmt.Sprintf("found more than %d bytes", maxAnswer)}
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	return nil, problem(resp, answer)
}

// transportError says why there is no answer: the caller's context has ended,
// the daemon could not be reached, or it went away.
func (c *Client) transportError(ctx, inner context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return &UnreachableError{Socket: c.socket, Reason: NoAnswer, Err: cause}
		}
		return fmt.Errorf("waiting for bundlesignd at %s: %w", c.socket, cause)
	}
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return unreachable
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err // without the made-up URL
	}
	e := &UnreachableError{Socket: c.socket, Reason: Lost, Detail: err.Error(), Err: err}
	if inner.Err() != nil {
		e.Reason, e.Detail = NoAnswer, ""
	}
	return e
}

// problem reads an answer that is not a success.
func problem(resp *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := new(wire.Problem)
	if kind != wire.MediaTypeProblem {
		return &ProtocolError{Status: resp.StatusCode, Detail: fmt.Sprintf("found content type %s, want %s", quote(kind), wire.MediaTypeProblem)}
	}
	if err := json.Unmarshal(body, p); err != nil {
		return &ProtocolError{Status: resp.StatusCode, Detail: "not a problem document: " + err.Error()}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.RetryAfter = s
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return p
}
