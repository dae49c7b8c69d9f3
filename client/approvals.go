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

// What follows is what people say. None of it is repeated by itself: after a lost
// connection, [Client.Signature] and [Client.Freezes] say what became of it. What
// was signed is worth the same the next time, until the statement changes.

// Approve adds an approval to a pending request: an armored SSH signature over its
// statement in the namespace bundlesign-approval@v1. It returns the request as it
// is then.
func (c *Client) Approve(ctx context.Context, id, sshsig string) (*wire.Signature, error) {
	return c.sayOf(ctx, id, "approvals", wire.SSHSig{SSHSig: sshsig})
}

// Reject ends a pending request for good, by a signature in the namespace
// bundlesign-rejection@v1. The reason is one line.
func (c *Client) Reject(ctx context.Context, id, sshsig, reason string) (*wire.Signature, error) {
	return c.sayOf(ctx, id, "rejections", wire.SSHSig{SSHSig: sshsig, Reason: reason})
}

func (c *Client) sayOf(ctx context.Context, id, what string, word wire.SSHSig) (*wire.Signature, error) {
	if id == "" {
		return nil, errNoID
	}
	body, err := json.Marshal(word)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	return c.signature(ctx, call{method: http.MethodPost, path: signaturePath(id) + "/" + what, body: body}, id)
}

// Freeze stops signing at once, and returns what stops it.
func (c *Client) Freeze(ctx context.Context, f wire.NewFreeze) (*wire.Freeze, error) {
	made := new(wire.Freeze)
	if err := c.postJSON(ctx, "/v1/freezes", f, made); err != nil {
		return nil, err
	}
	if made.ID == "" {
		return nil, &ProtocolError{Detail: "found a freeze without an id"}
	}
	return made, nil
}

// Freezes returns the freezes in force, oldest first.
func (c *Client) Freezes(ctx context.Context) ([]wire.Freeze, error) {
	var list wire.FreezeList
	if err := c.getJSON(ctx, get("/v1/freezes", nil), &list); err != nil {
		return nil, err
	}
	return list.Freezes, nil
}

// Thaw agrees to lift a freeze, by an armored SSH signature over its statement in
// the namespace bundlesign-thaw@v1, or, with "" for it, by being an operator. It
// returns the freeze as it is then.
func (c *Client) Thaw(ctx context.Context, id, sshsig string) (*wire.Freeze, error) {
	if id == "" {
		return nil, errors.New("freeze id: found none, want one of those that are in force")
	}
	var body struct {
		SSHSig string `json:"sshsig,omitempty"`
	}
	body.SSHSig = sshsig
	f := new(wire.Freeze)
	if err := c.postJSON(ctx, "/v1/freezes/"+url.PathEscape(id)+"/lifts", body, f); err != nil {
		return nil, err
	}
	if f.ID != id {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found freeze %s, asked for %s", quote(f.ID), quote(id))}
	}
	return f, nil
}
