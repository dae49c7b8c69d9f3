package gcpkms

import (
	"net/http"
	"time"

	"cloud.google.com/go/auth"
)

// tokenTimeout is how long a token server may take; it is asked once an hour.
const tokenTimeout = 30 * time.Second

// tokenClient returns a client that asks a token server as the owner of some
// credentials. It keeps no connection, for nothing follows a request soon, and
// follows no redirect: a token is not for whom a server names.
func tokenClient(owner *auth.Credentials) *http.Client {
	return &http.Client{
		Transport: bearer{owner, &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSHandshakeTimeout: tokenTimeout,
			DisableKeepAlives:   true,
		}},
		Timeout:       tokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bearer adds a bearer token to each request (RFC 6750, section 2.1).
type bearer struct {
	owner *auth.Credentials
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.owner.Token(request.Context())
	if err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	authorized := request.Clone(request.Context())
	authorized.Header.Set("Authorization", "Bearer "+token.Value)
	return b.next.RoundTrip(authorized)
}
