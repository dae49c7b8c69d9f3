package client

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
)

// Each call goes to its path with its body.
func TestKeyAdminCalls(t *testing.T) {
	var asked string
	answer := `{"name":"acme-shop","state":"disabled","ok":true,"index":7}`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body)
		fmt.Fprint(w, answer)
	})
	want := func(text string) {
		t.Helper()
		if asked != text {
			t.Errorf("asked %s, want %s", asked, text)
		}
	}
	if k, err := c.DisableKey(t.Context(), "acme-shop", "why"); err != nil || k.State != "disabled" {
		t.Errorf("%+v, %v", k, err)
	}
	want(`POST /v1/keys/acme-shop/disable application/json {"reason":"why"}`)
	if k, err := c.EnableKey(t.Context(), "acme-shop", "why"); err != nil || k.Name != "acme-shop" {
		t.Errorf("%+v, %v", k, err)
	}
	want(`POST /v1/keys/acme-shop/enable application/json {"reason":"why"}`)
	if k, err := c.CheckKey(t.Context(), "acme-shop"); err != nil || !k.OK {
		t.Errorf("%+v, %v", k, err)
	}
	want(`POST /v1/keys/acme-shop/check application/json {}`)
	if i, err := c.RecordOperation(t.Context(), &wire.KeyOperation{Action: "create", Phase: "begun", Key: "a", URI: "u"}); err != nil || i != 7 {
		t.Errorf("%d, %v", i, err)
	}
	want(`POST /v1/log/operations application/json {"action":"create","phase":"begun","key":"a","uri":"u"}`)
	if _, err := c.CheckKey(t.Context(), ""); err == nil {
		t.Error("no name was accepted")
	}
}

// A call that was lost is not made again: each is an entry of the log.
func TestKeyAdminIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	if _, err := c.RecordOperation(t.Context(), new(wire.KeyOperation)); err == nil {
		t.Error("it worked")
	}
	if _, err := c.DisableKey(t.Context(), "acme-shop", "why"); err == nil {
		t.Error("it worked")
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times for two calls", n)
	}
}
