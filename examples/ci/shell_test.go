package ci

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// shellJob is a folder with a bundle, in which sign.sh is run.
type shellJob struct {
	*daemon
	dir string
	app []byte
}

func newShellJob(t *testing.T) *shellJob {
	t.Helper()
	j := &shellJob{daemon: startDaemon(t, "shell", "[ci]", "["+programs.user+"]"), dir: t.TempDir(), app: webApp(t)}
	write(t, filepath.Join(j.dir, "app.zip"), string(j.app))
	return j
}

// sign runs sign.sh, and returns what it printed and its exit code. It does not really
// sleep: what it would have slept is in the file slept.
func (j *shellJob) sign(t *testing.T, socket, channel, version string, env ...string) (string, int) {
	t.Helper()
	script, err := filepath.Abs("shell/sign.sh")
	if err != nil {
		t.Fatal(err)
	}
	fakes := t.TempDir()
	write(t, filepath.Join(fakes, "sleep"), "#!/bin/sh\necho \"$1\" >>\""+filepath.Join(j.dir, "slept")+"\"\n")
	if err := os.Chmod(filepath.Join(fakes, "sleep"), 0o755); err != nil {
		t.Fatal(err)
	}
	env = append([]string{"PATH=" + fakes + ":" + searchPath(), "BUNDLESIGN_SOCKET=" + socket, "TMPDIR=" + fakes}, env...)
	out, code := try(t, j.dir, env, "bash", "-c", `"$@" >result.json`, "-", script, "app.zip", appID, channel, version, j.pem)
	if left, _ := filepath.Glob(filepath.Join(fakes, "tmp.*")); len(left) > 0 {
		t.Errorf("it left %q behind", left)
	}
	return out, code
}

// nothingWritten holds that there is no output, not even half of one.
func (j *shellJob) nothingWritten(t *testing.T) {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(j.dir, "app.zip_encrypted*")); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

func (j *shellJob) path(name string) string { return filepath.Join(j.dir, name) }

// What sign.sh makes is what bundlesign verify and the official CLI accept.
func TestShellSigns(t *testing.T) {
	t.Parallel()
	j := newShellJob(t)
	if out, code := j.sign(t, j.socket, "staging", "1.0.0"); code != 0 {
		t.Fatalf("it ended with code %d:\n%s", code, out)
	}
	j.accepts(t, j.path("app.zip_encrypted.zip"), j.path("result.json"), j.app)

	var result struct{ Checksum, IVSessionKey, KeyID string }
	if err := json.Unmarshal([]byte(read(t, j.path("result.json"))), &result); err != nil {
		t.Fatal(err)
	}
	if pem := read(t, j.pem); !strings.Contains(pem, "\n"+result.KeyID) || len(result.KeyID) != 20 {
		t.Errorf("found the key id %q of\n%s", result.KeyID, pem)
	}
	officiallyAccepted(t, j, result.IVSessionKey, result.Checksum)
}

// officiallyAccepted has the official CLI decrypt and check the encrypted bundle, in a
// folder that is made up as a Capacitor project, without a network.
func officiallyAccepted(t *testing.T, j *shellJob, sessionKey, checksum string) {
	t.Helper()
	interop, err := filepath.Abs("../../interop")
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"appId": appID, "appName": "shop", "webDir": "www",
		"plugins": map[string]any{"CapacitorUpdater": map[string]any{"publicKey": read(t, j.pem)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, j.path("capacitor.config.json"), string(config))
	write(t, j.path("package.json"), `{"name": "shop", "version": "1.0.0", "dependencies": {"@capgo/capacitor-updater": "8.51.23"}}`)
	write(t, j.path("node_modules/@capgo/capacitor-updater/package.json"), `{"name": "@capgo/capacitor-updater", "version": "8.51.23"}`)
	out, code := try(t, j.dir, []string{"CAPGO_DISABLE_TELEMETRY=1", "NO_COLOR=1"}, programs.node,
		"--require", filepath.Join(interop, "testdata/airgap.cjs"), filepath.Join(interop, "node_modules/@capgo/cli/dist/index.js"),
		"bundle", "decrypt", "app.zip_encrypted.zip", sessionKey, "--checksum", checksum)
	if code != 0 {
		t.Fatalf("the official CLI refused it, code %d (if it is not there: %s):\n%s", code, howToInstall, out)
	}
	decrypted, err := filepath.Glob(j.path("*decrypted*"))
	if err != nil || len(decrypted) != 1 || read(t, decrypted[0]) != string(j.app) {
		t.Errorf("the official CLI wrote %q, %v", decrypted, err)
	}
}

// Production takes two people; the same command later is the same request.
func TestShellWaitsForPeople(t *testing.T) {
	t.Parallel()
	j := newShellJob(t)
	out, code := j.sign(t, j.socket, "production", "1.4.0", "SIGN_WAIT=0")
	if code != 4 {
		t.Fatalf("want code 4, found %d:\n%s", code, out)
	}
	j.nothingWritten(t)
	id := j.daemon.pending(t)
	if !strings.Contains(out, id) {
		t.Errorf("it does not name the request %s:\n%s", id, out)
	}
	j.approve(t, "alice", id)
	j.approve(t, "bob", id)
	if out, code := j.sign(t, j.socket, "production", "1.4.0"); code != 0 || !strings.Contains(read(t, j.path("result.json")), id) {
		t.Errorf("want request %s, found code %d:\n%s", id, code, out)
	}
	j.accepts(t, j.path("app.zip_encrypted.zip"), j.path("result.json"), j.app)
}

func TestShellRefusals(t *testing.T) {
	t.Parallel()
	j := newShellJob(t)
	for name, c := range map[string]struct {
		channel, version string
		socket           string
		env              []string
		code             int
		want             string
	}{
		"denied":               {channel: "beta", version: "1.0.0", code: 3, want: "only the user ci asks here"},
		"no version":           {channel: "staging", version: "one", code: 2, want: "version"},
		"no daemon":            {channel: "staging", version: "1.0.0", socket: j.socket + "x", env: []string{"SIGN_WAIT=0"}, code: 5, want: "does not answer"},
		"a token that is none": {channel: "staging", version: "1.0.0", env: []string{"BUNDLESIGN_ID_TOKEN=a.b.c"}, code: 3, want: "token refused"},
		"a wait that is none":  {channel: "staging", version: "1.0.0", env: []string{"SIGN_WAIT=1h"}, code: 2, want: "want seconds"},
	} {
		if c.socket == "" {
			c.socket = j.socket
		}
		out, code := j.sign(t, c.socket, c.channel, c.version, c.env...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: want code %d and %q, found %d:\n%s", name, c.code, c.want, code, out)
		}
		j.nothingWritten(t)
	}
}

// A busy daemon is asked again when it says, as the same request; and one that forgets
// the request while it is waited for is asked again, too.
func TestShellAsksAgain(t *testing.T) {
	t.Parallel()
	j := newShellJob(t)
	p := newLyingProxy(t, j.socket)
	var answers, keys []string
	p.before = func(w http.ResponseWriter, r *http.Request) bool {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		answers = append(answers, r.Method)
		switch len(answers) {
		case 1:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.Header().Set("Retry-After", "09")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"detail": "the queue is full\u001b[2J"}`)
		case 3:
			panic(http.ErrAbortHandler) // the connection is lost
		default:
			return false
		}
		return true
	}
	out, code := j.sign(t, p.socket, "staging", "1.0.0")
	if code != 0 || strings.Contains(out, "\x1b") || !strings.Contains(out, "the queue is full") {
		t.Errorf("found code %d:\n%q", code, out)
	}
	if slept := read(t, j.path("slept")); slept != "7\n9\n2\n" {
		t.Errorf("it slept %q, want what it was told", slept)
	}
	if len(keys) != 4 || keys[0] == "" || keys[0] != keys[3] {
		t.Errorf("the tries had the idempotency keys %q, want one", keys)
	}
	j.accepts(t, j.path("app.zip_encrypted.zip"), j.path("result.json"), j.app)
}

// Nothing is written of an answer that is not about this bundle and made with this key.
func TestShellTrustsNoDaemon(t *testing.T) {
	t.Parallel()
	j := newShellJob(t)
	other := startDaemon(t, "shell", "[ci]", "["+programs.user+"]") // with another key
	p := newLyingProxy(t, j.socket)
	theirs := newLyingProxy(t, other.socket)
	flip := func(name string) func(map[string]any) {
		return func(m map[string]any) {
			text := m[name].(string)
			last := len(text) - 10
			digit := "0"
			if text[last] == '0' {
				digit = "1"
			}
			m[name] = text[:last] + digit + text[last+1:]
		}
	}
	for name, c := range map[string]struct {
		socket string
		lie    func(map[string]any)
		want   string
	}{
		"the key of somebody else":  {socket: theirs.socket, want: "not made with the app's key"},
		"a checksum with an error":  {lie: flip("checksum"), want: "not made with the app's key"},
		"a session key with one":    {lie: flip("session_key"), want: "not wrapped with the app's key"},
		"another version":           {lie: func(m map[string]any) { m["version"] = "9.9.9" }, want: "something else than what was asked"},
		"another app":               {lie: func(m map[string]any) { m["app_id"] = "com.evil" }, want: "something else than what was asked"},
		"a session key in 32 bytes": {lie: func(m map[string]any) { m["session_key"] = wrappedChecksum(m) }, want: "has not 16 bytes"},
		"a state of another time":   {lie: func(m map[string]any) { m["state"] = "blessed" }, want: "unknown state"},
		"an id that is a path":      {lie: func(m map[string]any) { m["id"] = "../../status" }, want: "no id"},
	} {
		p.lie = c.lie
		if c.socket == "" {
			c.socket = p.socket
		}
		out, code := j.sign(t, c.socket, "staging", "1.0.0")
		if code != 6 && c.want != "unknown state" || code == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: want code 6 and %q, found %d:\n%s", name, c.want, code, out)
		}
		j.nothingWritten(t)
	}
}

// wrappedChecksum is a session key whose wrapped part is a good signature, over 32 bytes.
func wrappedChecksum(m map[string]any) string {
	iv, _, _ := strings.Cut(m["session_key"].(string), ":")
	return iv + ":" + hexToBase64(m["checksum"].(string))
}

// lyingProxy stands between a client and a real daemon and changes the answers.
type lyingProxy struct {
	socket string
	before func(http.ResponseWriter, *http.Request) bool // true: it has answered
	lie    func(map[string]any)

	mu sync.Mutex
}

func newLyingProxy(t *testing.T, daemon string) *lyingProxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &lyingProxy{socket: filepath.Join(dir, "sock")}
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", daemon)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.before != nil && p.before(w, r) {
			return
		}
		p.pass(t, transport, w, r)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return p
}

func (p *lyingProxy) pass(t *testing.T, transport *http.Transport, w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", "localhost", ""
	resp, err := transport.RoundTrip(out)
	if err != nil {
		t.Errorf("asking the daemon: %v", err)
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && p.lie != nil {
		var m map[string]any
		if err = json.Unmarshal(body, &m); err == nil {
			p.lie(m)
			body, err = json.Marshal(m)
		}
	}
	if err != nil {
		t.Errorf("changing the answer: %v", err)
	}
	resp.Header.Del("Content-Length")
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body)
}
