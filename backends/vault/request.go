package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/signer"
)

// newClient returns a client of Vault's own library with a token, or without one if
// it is "". Everything that the library would take from the environment is set.
func newClient(u *URI, rt http.RoundTripper, token string) (*api.Client, error) {
	if u.Address == "" {
		return nil, fmt.Errorf("%w: vault %s: found no address: add address=https://HOST:8200 to the key's URI or set VAULT_ADDR", signer.ErrKeyUnusable, u.name())
	}
	if err := CheckAddress(u.Address); err != nil {
		return nil, fmt.Errorf("%w: vault %s: the address %w", signer.ErrKeyUnusable, u.name(), err)
	}
	client, err := api.NewClient(&api.Config{
		Address: u.Address,
		HttpClient: &http.Client{
			Transport: rt,
			// No redirects: the transport says why.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		DisableRedirects: true,
		MaxRetries:       0, // what is tried again, and when, is decided here and by the core
		Timeout:          0, // each request has a deadline of its own
	})
	if err != nil {
		return nil, fmt.Errorf("%w: vault: the environment has a VAULT_ variable that Vault's library does not understand: %w", signer.ErrKeyUnusable, err)
	}
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	if u.Namespace != "" {
		client.SetNamespace(u.Namespace)
	}
	client.SetToken(token)
	return client, nil
}

// errSlow is the cause of a context that ended because Vault took too long.
var errSlow = errors.New("vault did not answer in time")

// request makes one request and decodes the answer's body into out, unless that is
// nil or there is no body (status 204). With in it writes, without it reads. It returns
// an error as it came: for a status the library's, perhaps with a hint when to come
// back, for an end of the time errSlow.
func request(ctx context.Context, c *api.Client, timeout time.Duration, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errSlow)
	defer cancel()
	var resp *api.Response
	var err error
	if in == nil {
		resp, err = c.Logical().ReadRawWithContext(ctx, path)
	} else {
		var body []byte
		body, err = json.Marshal(in)
		if err != nil {
			return err
		}
		resp, err = c.Logical().WriteRawWithContext(ctx, path, body)
	}
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err == nil && out != nil && resp.StatusCode != http.StatusNoContent {
		err = resp.DecodeJSON(out)
		if err != nil && ctx.Err() == nil {
			err = errNotVault
		}
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if resp != nil {
		return hint(err, resp.Response)
	}
	return err
}

var errNotVault = errors.New("answered with something that is not Vault's JSON: check that the address is Vault's API")
