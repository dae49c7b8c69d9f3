package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
)

func TestRateLimit(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 0.001, Burst: 3, Connections: 10})
	for range 3 {
		if a := r.get("/v1/keys"); a.status != 200 {
			t.Fatalf("status %d within the burst", a.status)
		}
	}
	a := r.get("/v1/keys")
	p := a.problem(429, wire.ProblemTooMany)
	if a.header.Get("Retry-After") == "" || p.RetryAfter < 1 {
		t.Error("no Retry-After")
	}
}

func TestConnectionLimit(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 2})
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
		// A served connection: the limit counts from Accept on.
		if _, err := fmt.Fprint(c, "GET /v1/keys HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p wire.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != 429 || p.Type != wire.ProblemTooMany {
		t.Errorf("got %d %+v, %v, want too many", resp.StatusCode, p, err)
	}
	// Giving one back makes room for another.
	held[0].Close()
	for {
		a, err := r.try("GET", "/v1/keys", "", "")
		if err == nil && a.status == 200 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no connection was let in after one was closed")
		}
	}
}

func TestSlowClientIsDropped(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 10, ReadTimeout: 100 * time.Millisecond})
	for name, part := range map[string]string{
		"headers": "POST /v1/signatures HTTP/1.1\r\nHost: x\r\nContent-Ty",
		"body":    "POST /v1/signatures HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"app_id\":",
	} {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
	}
}
