package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
)

// Each call goes to its path with its body.
func TestCallsOfApprovers(t *testing.T) {
	var asked atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Store(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.EscapedPath(), r.Header.Get("Content-Type"), body))
		fmt.Fprint(w, `{"id":"a/b","state":"pending","freezes":[{"id":"f"}]}`)
	})
	for want, call := range map[string]func() error{
		`POST /v1/signatures/a%2Fb/approvals application/json {"sshsig":"sig"}`: func() error {
			_, err := c.Approve(t.Context(), "a/b", "sig")
			return err
		},
		`POST /v1/signatures/a%2Fb/rejections application/json {"sshsig":"sig","reason":"why"}`: func() error {
			_, err := c.Reject(t.Context(), "a/b", "sig", "why")
			return err
		},
		`POST /v1/freezes application/json {"app_id":"com.acme.shop","reason":"why"}`: func() error {
			_, err := c.Freeze(t.Context(), wire.NewFreeze{AppID: "com.acme.shop", Reason: "why"})
			return err
		},
		`POST /v1/freezes/a%2Fb/lifts application/json {"sshsig":"sig"}`: func() error {
			_, err := c.Thaw(t.Context(), "a/b", "sig")
			return err
		},
		`POST /v1/freezes/a%2Fb/lifts application/json {}`: func() error {
			_, err := c.Thaw(t.Context(), "a/b", "")
			return err
		},
		`GET /v1/freezes  `: func() error {
			list, err := c.Freezes(t.Context())
			if err == nil && len(list) != 1 {
				err = fmt.Errorf("found %d freezes, want one", len(list))
			}
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if asked.Load() != want {
			t.Errorf("asked %s, want %s", asked.Load(), want)
		}
	}
	var proto *ProtocolError
	if _, err := c.Approve(t.Context(), "other", "sig"); !errors.As(err, &proto) {
		t.Errorf("an answer about another request: %v", err)
	}
	if _, err := c.Thaw(t.Context(), "other", "sig"); !errors.As(err, &proto) {
		t.Errorf("an answer about another freeze: %v", err)
	}
	for _, call := range []func() error{
		func() error { _, err := c.Approve(t.Context(), "", "sig"); return err },
		func() error { _, err := c.Reject(t.Context(), "", "sig", "why"); return err },
		func() error { _, err := c.Thaw(t.Context(), "", "sig"); return err },
	} {
		if call() == nil {
			t.Error("no id is accepted")
		}
	}
}

// A word that was lost on its way is not given again by itself.
func TestWordsAreNotRepeated(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	if _, err := c.Approve(t.Context(), "a", "sig"); err == nil {
		t.Error("it worked")
	}
	if _, err := c.Freeze(t.Context(), wire.NewFreeze{All: true, Reason: "why"}); err == nil {
		t.Error("it worked")
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times for two calls", n)
	}
}

// A token goes with submissions, and with nothing else.
func TestTokenGoesWithSubmissions(t *testing.T) {
	const token = "aGVhZA.cGF5bG9hZA.c2ln"
	var found atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		found.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"id":"a","state":"signed"}`)
	})
	WithToken(token)(c)
	if _, err := c.Submit(t.Context(), submission(), ""); err != nil || found.Load() != "Bearer "+token {
		t.Errorf("sent %q, %v", found.Load(), err)
	}
	if _, err := c.Signature(t.Context(), "a"); err != nil || found.Load() != "" {
		t.Errorf("sent %q with a question, %v", found.Load(), err)
	}
	for name, bad := range map[string]string{
		"two parts": "aGVhZA.cGF5bG9hZA",
		"a header":  "a.b.c\r\nX-Evil: 1",
		"spaces":    "a.b. c",
		"too long":  "a.b." + strings.Repeat("c", 17<<10),
	} {
		WithToken(bad)(c)
		if _, err := c.Submit(t.Context(), submission(), ""); err == nil || strings.Contains(err.Error(), "cGF5bG9hZA") {
			t.Errorf("%s: found %v, want an error without the token", name, err)
		}
	}
	if err := CheckToken(""); err == nil {
		t.Error("nothing is a token")
	}
}

// Who asked with a token takes the request back with it, and nothing else carries it.
func TestCancelCarriesTheToken(t *testing.T) {
	var header atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"id":"a","state":"cancelled"}`)
	})
	c.token = "a.b.c"
	if _, err := c.Cancel(t.Context(), "a"); err != nil || header.Load() != "Bearer a.b.c" {
		t.Errorf("cancelling: %v, with %q", err, header.Load())
	}
	if _, err := c.Signature(t.Context(), "a"); err != nil || header.Load() != "" {
		t.Errorf("looking: %v, with %q", err, header.Load())
	}
	c.token = "not a token"
	if _, err := c.Cancel(t.Context(), "a"); err == nil {
		t.Error("something that is no token was sent")
	}
}
