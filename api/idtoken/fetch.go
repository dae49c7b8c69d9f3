package idtoken

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	maxDiscovery   = 64 << 10 // bytes
	maxRedirects   = 3
	connectTimeout = 5 * time.Second // of TLS
)

// fetcher gets an issuer's keys over HTTPS.
type fetcher struct {
	issuer string // URL
	client *http.Client
}

func newFetcher(conf Issuer) *fetcher {
	return &fetcher{issuer: conf.URL, client: &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: conf.CA},
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true, // it is asked once in ten minutes
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return fmt.Errorf("found more than %d redirects", maxRedirects)
			case next.URL.Scheme != "https" || next.URL.Host != via[0].URL.Host:
				return fmt.Errorf("found a redirect to %s://%s, want none to another place", next.URL.Scheme, next.URL.Host)
			}
			return nil
		},
	}}
}

// keys asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4),
// and then for them.
func (f *fetcher) keys(ctx context.Context) (*keySet, error) {
	place := strings.TrimSuffix(f.issuer, "/") + "/.well-known/openid-configuration"
	data, err := f.get(ctx, place, maxDiscovery)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: found no discovery document: %w", place, err)
	}
	// Section 4.3: or somebody else's document would do.
	if doc.Issuer != f.issuer {
		return nil, fmt.Errorf("%s: found the document of issuer %s, want that of %s", place, quote(doc.Issuer), f.issuer)
	}
	u, err := url.Parse(doc.JWKSURI)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%s: found the jwks_uri %s, want one that begins with https://", place, quote(doc.JWKSURI))
	}
	if data, err = f.get(ctx, doc.JWKSURI, maxJWKS); err != nil {
		return nil, err
	}
	set, err := parseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.JWKSURI, err)
	}
	return set, nil
}

// get returns the body at a place, which must have at most limit bytes.
func (f *fetcher) get(ctx context.Context, place string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: found status %d, want 200", place, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	if int64(len(data)) > limit {
		return nil, errors.New(place + fmt.Sprintf(": found more than %d bytes", limit))
	}
	return data, nil
}
