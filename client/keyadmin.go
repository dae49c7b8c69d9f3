package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/bundlesign/bundlesign/api/wire"
)

// What follows is for operators: the daemon refuses everybody but root and the
// user as whom it runs. None of it is repeated by itself: each call is an entry of
// the log.

// DisableKey takes a key out of use, at once and until [Client.EnableKey], and
// returns it as it is then.
func (c *Client) DisableKey(ctx context.Context, name, reason string) (*wire.Key, error) {
	return c.switchKey(ctx, name, "disable", reason)
}

// EnableKey lets a key be used again.
func (c *Client) EnableKey(ctx context.Context, name, reason string) (*wire.Key, error) {
	return c.switchKey(ctx, name, "enable", reason)
}

func (c *Client) switchKey(ctx context.Context, name, verb, reason string) (*wire.Key, error) {
	key := new(wire.Key)
	if err := c.postKey(ctx, name, verb, wire.KeyReason{Reason: reason}, key); err != nil {
		return nil, err
	}
	return key, nil
}

// CheckKey has a key make a test signature now. A key that is not well is no
// error: the answer says so.
func (c *Client) CheckKey(ctx context.Context, name string) (*wire.KeyCheck, error) {
	check := new(wire.KeyCheck)
	if err := c.postKey(ctx, name, "check", struct{}{}, check); err != nil {
		return nil, err
	}
	return check, nil
}

// RecordOperation writes into the log what is done to a key outside the daemon,
// and returns the index of the entry.
func (c *Client) RecordOperation(ctx context.Context, op *wire.KeyOperation) (int64, error) {
	var recorded wire.Recorded
	if err := c.postJSON(ctx, "/v1/log/operations", op, &recorded); err != nil {
		return 0, err
	}
	return recorded.Index, nil
}

func (c *Client) postKey(ctx context.Context, name, verb string, in, out any) error {
	if name == "" {
		return errors.New("key name: found none, want the name of a key")
	}
	return c.postJSON(ctx, "/v1/keys/"+url.PathEscape(name)+"/"+verb, in, out)
}

func (c *Client) postJSON(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	return c.getJSON(ctx, call{method: http.MethodPost, path: path, body: body}, out)
}
