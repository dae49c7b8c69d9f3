package client

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
)

// Keys returns the keys that the daemon signs with.
func (c *Client) Keys(ctx context.Context) ([]wire.Key, error) {
	var list wire.KeyList
	if err := c.getJSON(ctx, get("/v1/keys", nil), &list); err != nil {
		return nil, err
	}
	return list.Keys, nil
}

// Key returns one key by name.
func (c *Client) Key(ctx context.Context, name string) (*wire.Key, error) {
	if name == "" {
		return nil, errors.New("key name: found none, want the name of a key")
	}
	key := new(wire.Key)
	if err := c.getJSON(ctx, get("/v1/keys/"+url.PathEscape(name), nil), key); err != nil {
		return nil, err
	}
	return key, nil
}

// Status returns the health of the daemon and of its parts.
func (c *Client) Status(ctx context.Context) (*wire.Status, error) {
	status := new(wire.Status)
	if err := c.getJSON(ctx, get("/v1/status", nil), status); err != nil {
		return nil, err
	}
	return status, nil
}

// WaitReady asks for the status until the daemon is well, also one that was not
// there to begin with, or until ctx ends. It then returns the last status, or the
// error if the daemon never answered.
func (c *Client) WaitReady(ctx context.Context) (*wire.Status, error) {
	var last *wire.Status
	for attempt := 0; ; attempt++ {
		status, err := c.Status(ctx)
		if status != nil {
			last = status
		}
		var gone *UnreachableError
		switch {
		case err == nil && status.State == "ok":
			return status, nil
		case err != nil && ctx.Err() == nil && (!errors.As(err, &gone) || gone.Reason == PathTooLong):
			return nil, err
		}
		if ctx.Err() != nil || c.sleep(ctx, min(c.backoff(attempt), readyPause)) != nil {
			if last != nil {
				return last, nil
			}
			return nil, err
		}
	}
}

// readyPause is the longest pause between two questions of [Client.WaitReady].
const readyPause = 500 * time.Millisecond
