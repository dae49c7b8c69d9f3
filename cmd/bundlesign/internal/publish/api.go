package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultAPI is the address of the public Capgo API.
const DefaultAPI = "https://api.capgo.app"

const (
	tryTime   = 30 * time.Second // of one call
	maxAnswer = 16 << 20         // bytes of an answer: a page of bundles with all their native packages
)

// API is the public Capgo bundle API, or one that was set up by oneself.
type API struct {
	base   string // without a slash at the end
	key    string
	agent  string
	client *http.Client
	pause  func(ctx context.Context, d time.Duration) error
}

// NewAPI returns the API at an address such as [DefaultAPI]; plain http is taken
// for this machine alone. The key is sent there and nowhere else.
func NewAPI(address, key, userAgent string) (*API, error) {
	u, err := parseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	if u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(address, "?#") {
		return nil, fmt.Errorf("API: found more than a path in %q, want such as %s", address, DefaultAPI)
	}
	if key, err = ParseAPIKey(key); err != nil {
		return nil, fmt.Errorf("API key: %w", err)
	}
	return &API{
		base: strings.TrimRight(address, "/"), key: key, agent: userAgent, pause: pause,
		client: &http.Client{
			// A redirect would take the key along, to wherever it leads.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// call makes one call and decodes a good answer into out. Its error is an
// [*APIError] if the API refused, a [*LostError] if it is not known what became of
// the call.
func (a *API) call(ctx context.Context, method string, query url.Values, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	address := a.base + "/bundle"
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	// The API takes the key from capgkey, too. Authorization is the one that what
	// stands between knows to be secret.
	req.Header.Set("Authorization", a.key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", a.agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return &LostError{a.base, bare(err)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return &LostError{a.base, bare(err)}
	}
	if len(data) > maxAnswer {
		return &LostError{a.base, fmt.Errorf("the answer has more than %d bytes", maxAnswer)}
	}
	if resp.StatusCode != http.StatusOK {
		return a.refusal(resp, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return &LostError{a.base, errors.New("the answer is not what the Capgo API says: is this its address?")}
	}
	return nil
}

// bare leaves out the address, which the message has already.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return fmt.Errorf("no answer in %v", tryTime)
		}
		return u.Err
	}
	return err
}
