package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/api/wire"
)

// newTokenRig is a rig whose API believes an issuer, "ci".
func newTokenRig(t *testing.T) (*rig, *idtokentest.Issuer) {
	t.Helper()
	is := idtokentest.New(t)
	v, err := idtoken.New(idtoken.Config{
		Issuers: []idtoken.Issuer{{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, CA: is.CA()}},
		Now:     time.Now, Log: zaptest.NewLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, api.Config{BodyBytes: 64 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 100, Tokens: v}), is
}

func submission(t *testing.T, version string) string {
	t.Helper()
	body, err := json.Marshal(wire.Submit{AppID: "com.acme.shop", Channel: "production", Version: version, Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRequesterWithAToken(t *testing.T) {
	r, is := newTokenRig(t)
	want := &wire.Token{Issuer: "ci", Subject: "repo:acme/shop:ref:refs/heads/main"}
	for version, scheme := range map[string]string{"1.0.0": "Bearer ", "1.0.1": "bearer ", "1.0.2": "BEARER  "} {
		got := r.post(submission(t, version), "Authorization", scheme+is.Token(t, is.Claims(time.Now()))).signature(201)
		if diff := cmp.Diff(want, got.Requester.Token); diff != "" {
			t.Errorf("the requester's token (-want +got):\n%s", diff)
		}
	}
	if got := r.post(submission(t, "1.0.3")).signature(201); got.Requester.Token != nil {
		t.Errorf("a request without a token has %+v", got.Requester.Token)
	}
}

// A token that is not good refuses the request, although the policy allows the
// user without any; nothing is recorded, and the answer does not show the token.
func TestBadTokenRefusesTheRequest(t *testing.T) {
	r, is := newTokenRig(t)
	good := is.Token(t, is.Claims(time.Now()))
	claims := is.Claims(time.Now())
	claims["aud"] = "https://other.example.com"
	other := is.Token(t, claims)
	for name, c := range map[string]struct {
		header []string
		want   string
	}{
		"another audience":      {[]string{"Bearer " + other}, "for the audience"},
		"garbage":               {[]string{"Bearer garbage"}, "JWT in compact form"},
		"two headers":           {[]string{"Bearer " + good, "Bearer " + good}, "more than one Authorization header"},
		"good and then another": {[]string{"Bearer " + good, "Basic eDp5"}, "more than one Authorization header"},
		"another scheme":        {[]string{"Basic " + good}, "another form"},
		"no scheme":             {[]string{good}, "another form"},
		"no token":              {[]string{"Bearer"}, "another form"},
		"an empty header":       {[]string{""}, "another form"},
		"two tokens":            {[]string{"Bearer " + good + ", " + good}, "JWT in compact form"},
		"a token and a word":    {[]string{"Bearer " + good + " x"}, "not base64url"},
		"20 KiB":                {[]string{"Bearer " + good + strings.Repeat("A", 20<<10)}, "want at most 16384"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/signatures", strings.NewReader(submission(t, "1.0.0")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header["Authorization"] = c.header
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		p := (&answer{t, resp.StatusCode, resp.Header, body}).problem(401, wire.ProblemToken)
		if !strings.Contains(p.Detail, c.want) || strings.Contains(string(body), good[:20]) {
			t.Errorf("%s: the detail is %q, want %q in it and nothing of the token", name, p.Detail, c.want)
		}
		if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
			t.Errorf("%s: WWW-Authenticate is %q, want Bearer", name, got)
		}
	}
	var list wire.SignatureList
	r.get("/v1/signatures").into(&list)
	if len(list.Signatures) != 0 {
		t.Errorf("%d requests are recorded, want none", len(list.Signatures))
	}
}

// 1 MB of token does not get as far as a handler: the HTTP layer bounds headers.
func TestHugeTokenIsRefusedUnread(t *testing.T) {
	r, _ := newTokenRig(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/signatures", strings.NewReader(submission(t, "1.0.0")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Repeat("A", 1<<20))
	resp, err := r.client.Do(req)
	if err != nil {
		return // it hung up in the middle of it
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got status %d, want 431", resp.StatusCode)
	}
}

func TestTokenOfAnIssuerThatIsAway(t *testing.T) {
	r, is := newTokenRig(t)
	is.Down(true)
	a := r.post(submission(t, "1.0.0"), "Authorization", "Bearer "+is.Token(t, is.Claims(time.Now())))
	p := a.problem(503, wire.ProblemTokenIssuer)
	if p.RetryAfter < 1 || a.header.Get("Retry-After") == "" {
		t.Errorf("retry after %d s (%q), want when to try again", p.RetryAfter, a.header.Get("Retry-After"))
	}
}

func TestTokenWithoutIssuers(t *testing.T) {
	r := newRig(t, api.Config{})
	is := idtokentest.New(t)
	p := r.post(submission(t, "1.0.0"), "Authorization", "Bearer "+is.Token(t, is.Claims(time.Now()))).problem(401, wire.ProblemToken)
	if !strings.Contains(p.Detail, "no token_issuers are configured") {
		t.Errorf("the detail is %q, want what is missing", p.Detail)
	}
}
