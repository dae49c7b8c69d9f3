package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bundlesign/bundlesign/api/wire"
)

// errNoID stops a call that would reach another endpoint.
var errNoID = errors.New("request id: found none, want the id that a submission was answered with")

// Signature returns one request as it is now.
func (c *Client) Signature(ctx context.Context, id string) (*wire.Signature, error) {
	if id == "" {
		return nil, errNoID
	}
	return c.signature(ctx, get(signaturePath(id), nil), id)
}

// ListFilter selects requests. Zero fields select everything.
type ListFilter struct {
	State  string
	AppID  string
	Limit  int   // at most this many; 0 leaves it to the daemon
	Before int64 // [wire.SignatureList.Next] of the page before
}

// Signatures lists requests, newest first, one page at a time.
func (c *Client) Signatures(ctx context.Context, f ListFilter) (*wire.SignatureList, error) {
	q := url.Values{}
	if f.State != "" {
		q.Set("state", f.State)
	}
	if f.AppID != "" {
		q.Set("app_id", f.AppID)
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.Before > 0 {
		q.Set("before", strconv.FormatInt(f.Before, 10))
	}
	list := new(wire.SignatureList)
	if err := c.getJSON(ctx, get("/v1/signatures", q), list); err != nil {
		return nil, err
	}
	return list, nil
}

// Cancel takes back a pending request. It is made once only: after a lost
// connection, [Client.Signature] says what became of it.
func (c *Client) Cancel(ctx context.Context, id string) (*wire.Signature, error) {
	if id == "" {
		return nil, errNoID
	}
	header, err := c.authorization()
	if err != nil {
		return nil, err
	}
	return c.signature(ctx, call{method: http.MethodDelete, path: signaturePath(id), header: header}, id)
}
