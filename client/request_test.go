package client

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/api/wire"
)

// serve answers everything with h, at the socket of the returned client.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-stopped
	})
	c, _ := impatient(t, path)
	return c
}

func TestProblemIsReadWhole(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(422)
		fmt.Fprint(w, `{"type":"urn:bundlesign:problem:invalid-field","title":"Invalid field","status":1,"detail":"version: no","field":"/version","extra":1}`)
	})
	_, err := c.Submit(t.Context(), submission(), "")
	var found *wire.Problem
	if !errors.As(err, &found) {
		t.Fatalf("found %v, want a problem", err)
	}
	want := &wire.Problem{Type: wire.ProblemInvalidField, Title: "Invalid field", Status: 422, Detail: "version: no", Field: "/version"}
	if d := cmp.Diff(want, found); d != "" {
		t.Error(d)
	}
}

func TestAnswersThatAreNotThisAPI(t *testing.T) {
	for name, tc := range map[string]struct {
		status            int
		contentType, body string
		want              string
	}{
		"html":          {200, "text/html", "<html>", "not the JSON that was expected"},
		"cut short":     {201, "application/json", `{"id": "a`, "not the JSON that was expected"},
		"two values":    {201, "application/json", `{"id":"a"}{}`, "not the JSON that was expected"},
		"no id":         {201, "application/json", `{}`, "without an id"},
		"error page":    {502, "text/html", "<html>", `found content type "text/html"`},
		"redirect":      {302, "text/html", "", "HTTP status 302"},
		"junk problem":  {500, "application/problem+json", "{", "not a problem document"},
		"too large":     {200, "application/json", strings.Repeat(" ", maxAnswer+1), "more than"},
		"unknown state": {201, "application/json", `{"id":"a","state":"\u001b[2J"}`, "which this version of the client does not know"},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.contentType)
			w.Header().Set("Location", "/v1/status")
			w.WriteHeader(tc.status)
			fmt.Fprint(w, tc.body)
		})
		_, err := c.SubmitAndWait(t.Context(), submission(), "")
		var proto *ProtocolError
		if !errors.As(err, &proto) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: found %q, want a ProtocolError with %q", name, err, tc.want)
		}
	}
}

func TestRetryAfterOnlyWhereItHelps(t *testing.T) {
	for _, tc := range []struct {
		status  int
		header  string
		repeats bool
	}{
		{503, "1", true},
		{429, "1", true},
		{503, "", false},
		{503, "0", false},
		{403, "1", false},
		{500, "1", false},
	} {
		var calls atomic.Int32
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Content-Type", wire.MediaTypeProblem)
			if tc.header != "" {
				w.Header().Set("Retry-After", tc.header)
			}
			if calls.Load() == 1 {
				w.WriteHeader(tc.status)
			}
			fmt.Fprint(w, `{"detail":"no","id":"a"}`)
		})
		_, err := c.Submit(t.Context(), submission(), "")
		if (err == nil) != tc.repeats || (calls.Load() == 2) != tc.repeats {
			t.Errorf("status %d, Retry-After %q: %d calls, error %v; want it to be repeated: %t", tc.status, tc.header, calls.Load(), err, tc.repeats)
		}
	}
}

func TestCancelIsMadeOnce(t *testing.T) {
	var calls atomic.Int32
	c := serve(t, func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	})
	_, err := c.Cancel(t.Context(), "a")
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != Lost || calls.Load() != 1 {
		t.Errorf("%d calls, found %v; want one call and a lost connection", calls.Load(), err)
	}
}

func TestIdsAreEscaped(t *testing.T) {
	var path atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.EscapedPath())
		fmt.Fprint(w, `{"id":"../../status?x"}`)
	})
	if _, err := c.Signature(t.Context(), "../../status?x"); err != nil {
		t.Fatal(err)
	}
	if want := "/v1/signatures/..%2F..%2Fstatus%3Fx"; path.Load() != want {
		t.Errorf("asked for %s, want %s", path.Load(), want)
	}
	if _, err := c.Signature(t.Context(), "another"); err == nil {
		t.Error("an answer about another request was accepted")
	}
	if _, err := c.Signature(t.Context(), ""); !errors.Is(err, errNoID) {
		t.Errorf("found %v, want that the id is missing", err)
	}
}
