package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/signer"
)

func TestMetrics(t *testing.T) {
	m := newMetrics()
	m.observe(&signer.Request{State: signer.Signed})
	m.observe(&signer.Request{State: signer.Pending, Submission: signer.Submission{BreakGlass: "robbed"}})
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/metrics", nil))
	got, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`bundlesign_requests_total{state="signed"} 1`,
		`bundlesign_requests_total{state="pending"} 1`,
		`bundlesign_requests_total{state="denied"} 0`,
		`bundlesign_break_glass_total{state="pending"} 1`,
		`bundlesign_break_glass_total{state="signed"} 0`,
	} {
		if !strings.Contains(string(got), line+"\n") {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}

func overSocket(t *testing.T, socket, path string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://bundlesignd" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return string(body)
}

// Each metric of a running daemon is in the manual, and none is there that it has
// not.
func TestMetricsAreDocumented(t *testing.T) {
	d := startDaemon(t, initialized(t))
	got := overSocket(t, filepath.Join(d.dir, "bundlesignd.sock"), "/v1/metrics")
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`bundlesign_[a-z_]*[a-z]`)
	served := map[string]bool{}
	for _, n := range name.FindAllString(got, -1) {
		served[n] = true
		if !strings.Contains(string(manual), "`"+n) {
			t.Errorf("%s is not in docs/operations.md", n)
		}
	}
	for _, n := range name.FindAllString(string(manual), -1) {
		if !served[n] {
			t.Errorf("docs/operations.md names %s, which is not served", n)
		}
	}
	if len(served) < 4 {
		t.Errorf("only %d metrics are served:\n%s", len(served), got)
	}
}
