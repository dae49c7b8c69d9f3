package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/client"
)

func TestServeSignsAndStops(t *testing.T) {
	d := startDaemon(t, initialized(t))
	sig, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CheckSigned(sig, client.Expect{Submit: bundle(1)}); err != nil {
		t.Error(err)
	}
	d.stop()
	for _, line := range strings.Split(strings.TrimSpace(d.log.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
	}
	for _, want := range []string{`"msg":"ready"`, `"signal":"terminated"`, `"msg":"stopped"`, sig.ID} {
		if !strings.Contains(d.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, d.log)
		}
	}
	if _, err := os.Stat(filepath.Join(d.dir, "bundlesignd.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	d = startDaemon(t, d.dir)
	again, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	if err != nil || again.ID != sig.ID || again.SessionKey != sig.SessionKey || again.Log.Checkpoint != sig.Log.Checkpoint {
		t.Errorf("after a restart a retry got %+v, %v, want the same answer", again, err)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	d := startDaemon(t, initialized(t))
	pid := strconv.Itoa(d.cmd.Process.Pid)

	t.Run("same state", func(t *testing.T) {
		dir := t.TempDir()
		copyFiles(t, d.dir, dir)
		edit(t, dir, "state_dir: state", "state_dir: "+filepath.Join(d.dir, "state"))
		second := launch(t, dir)
		second.exits(1)
		if !strings.Contains(second.log.String(), "is in use by process "+pid) {
			t.Errorf("it does not say which process has the state: %s", second.log)
		}
	})
	t.Run("same socket", func(t *testing.T) {
		dir := t.TempDir()
		copyFiles(t, d.dir, dir)
		edit(t, dir, "path: bundlesignd.sock", "path: "+filepath.Join(d.dir, "bundlesignd.sock"))
		if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
		second := launch(t, dir)
		second.exits(1)
		if !strings.Contains(second.log.String(), "already served by process "+pid) {
			t.Errorf("it does not say which process serves the socket: %s", second.log)
		}
	})
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1), ""); err != nil {
		t.Errorf("the first daemon was disturbed: %v", err)
	}
}

// copyFiles copies the plain files of a folder.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// SIGTERM under load: everything that was accepted is answered, and a client that
// comes too late is told so or finds nobody.
func TestStopUnderLoadLosesNothing(t *testing.T) {
	dir := initialized(t)
	d := startDaemon(t, dir)
	d.usable()
	ids := make(chan string, 1000)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			c := client.New(filepath.Join(dir, "bundlesignd.sock"), client.WithReconnect(0))
			defer c.Close()
			for i := range 200 {
				sig, err := c.Submit(t.Context(), bundle(1000*g+i), "")
				if err != nil {
					return
				}
				ids <- sig.ID
			}
		})
	}
	first := <-ids
	d.stop()
	wg.Wait()
	close(ids)
	d = startDaemon(t, dir)
	for id := range ids {
		if sig, err := d.client.Wait(t.Context(), id); err != nil || sig.State != "signed" {
			t.Errorf("request %s: %+v, %v, want it signed", id, sig, err)
		}
	}
	if sig, err := d.client.Signature(t.Context(), first); err != nil || sig.State != "signed" {
		t.Errorf("request %s: %+v, %v, want it signed", first, sig, err)
	}
}

func TestReload(t *testing.T) {
	d := startDaemon(t, initialized(t))
	policy := filepath.Join(d.dir, "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write("rules: [{name: broken, effect: perhaps}]\n")
	d.says("the policy in force stays")
	if !strings.Contains(d.log.String(), "perhaps") {
		t.Errorf("the log does not say what is wrong: %s", d.log)
	}
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1), ""); err != nil {
		t.Errorf("the old policy is gone: %v", err)
	}
	write("rules: [{name: shut, effect: deny, message: closed for today}]\n")
	d.says("the policy is in force")
	_, err := d.client.SubmitAndWait(t.Context(), bundle(2), "")
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemDenied || p.Rule != "shut" {
		t.Errorf("got %v, want a denial by the new rule", err)
	}
}

func TestConfigurationOthersCanWriteIsRefused(t *testing.T) {
	for _, name := range []string{"config.yaml", "policy.yaml", "acme-shop.pub.pem", "log.key"} {
		dir := initialized(t)
		if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
		d := launch(t, dir)
		d.exits(2)
		if !strings.Contains(d.log.String(), name) || !strings.Contains(d.log.String(), "chmod") {
			t.Errorf("%s: it does not say what to do: %s", name, d.log)
		}
	}
}

func TestWrongPIN(t *testing.T) {
	tk := softhsmtest.New(t)
	pub := tk.GenerateKey("acme-shop")
	dir := initialized(t, "--key-uri", tk.URI("acme-shop"), "--public-key", writePEM(t, pub.PEM()))
	const wrong = "9999-wrong-pin"
	if err := os.WriteFile(tk.PINFile, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, dir)
	_, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemKeyUnusable || !strings.Contains(p.Detail, "PIN") {
		t.Errorf("got %v, want that the PIN is wrong", err)
	}
	// The right PIN heals it, without a restart.
	if err := os.WriteFile(tk.PINFile, []byte(softhsmtest.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	d.usable()
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1), ""); err != nil {
		t.Errorf("with the right PIN: %v", err)
	}
	d.stop()
	for _, pin := range []string{wrong, softhsmtest.PIN} {
		if strings.Contains(d.log.String(), pin) {
			t.Error("the PIN is in the log")
		}
	}
}

func TestMissingToken(t *testing.T) {
	tk := softhsmtest.New(t)
	pub := tk.GenerateKey("acme-shop")
	dir := initialized(t, "--key-uri", tk.URI("acme-shop"), "--public-key", writePEM(t, pub.PEM()))
	show := tk.Hide()
	d := startDaemon(t, dir) // it starts all the same
	_, err := submitOnce(t, d.client, 1)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != 503 || !strings.Contains(p.Detail, tk.Label) {
		t.Errorf("got %v, want a refusal that names the token", err)
	}
	st, err := d.client.Status(t.Context())
	if err != nil || st.State != "degraded" {
		t.Errorf("status %+v, %v, want it degraded", st, err)
	}
	show()
	d.usable()
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1), ""); err != nil {
		t.Errorf("after the token came back: %v", err)
	}
}

func writePEM(t testing.TB, pem string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pub.pem")
	if err := os.WriteFile(path, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The state is on a file system of its own that fills up. Mounting it takes root
// or user namespaces; where neither is to be had the test fails.
func TestFullDisk(t *testing.T) {
	dir := initialized(t)
	state := filepath.Join(dir, "state")
	d := launchCommand(t, dir, exec.Command("unshare", "--map-root-user", "--mount", "sh", "-euc",
		`mount -t tmpfs -o size=2m,mode=700 tmpfs "$1"; head -c 1500000 /dev/zero > "$1/ballast"; shift; exec "$@"`,
		"sh", state, os.Args[0], "serve", "--config", filepath.Join(dir, "config.yaml")))
	d.ready()
	var accepted []string
	var refusal *wire.Problem
	for n := 0; refusal == nil; n++ {
		c := client.New(filepath.Join(dir, "bundlesignd.sock"))
		sig, err := submitOnce(t, c, n)
		c.Close()
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%v\n%s", err, d.log)
		}
		if err == nil {
			accepted = append(accepted, sig.ID)
		}
	}
	if refusal.Type != wire.ProblemStore || !strings.Contains(refusal.Detail, "space") {
		t.Errorf("got %+v, want that the disk is full", refusal)
	}
	if st, err := d.client.Status(t.Context()); err != nil || st.State != "degraded" {
		t.Errorf("status %+v, %v, want it degraded", st, err)
	}
	// The ballast is only to be seen from inside the daemon's namespace.
	ballast := fmt.Sprintf("/proc/%d/root%s/ballast", d.cmd.Process.Pid, state)
	if out, err := exec.Command("rm", ballast).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1_000_000), ""); err != nil {
		t.Fatalf("after there was space again: %v\n%s", err, d.log)
	}
	for _, id := range accepted {
		if sig, err := d.client.Wait(t.Context(), id); err != nil || sig.State != "signed" {
			t.Errorf("request %s was accepted: %+v, %v, want it signed", id, sig, err)
		}
	}
}

// submitOnce submits without the client's retries.
func submitOnce(t *testing.T, c *client.Client, n int) (*wire.Signature, error) {
	t.Helper()
	s := bundle(n)
	s.Labels = map[string]string{}
	for i := range 32 {
		s.Labels[fmt.Sprint("label", i)] = strings.Repeat("x", 256)
	}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", c.Socket())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/signatures HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	answer := new(bytes.Buffer)
	if _, err := answer.ReadFrom(conn); err != nil {
		return nil, err
	}
	head, rest, _ := strings.Cut(answer.String(), "\r\n\r\n")
	if strings.HasPrefix(head, "HTTP/1.1 20") {
		sig := new(wire.Signature)
		// A chunked answer has its length before the JSON.
		return sig, json.Unmarshal([]byte(rest[strings.Index(rest, "{"):strings.LastIndex(rest, "}")+1]), sig)
	}
	p := new(wire.Problem)
	if err := json.Unmarshal([]byte(rest[strings.Index(rest, "{"):strings.LastIndex(rest, "}")+1]), p); err != nil {
		return nil, fmt.Errorf("%s: %w", answer, err)
	}
	return nil, p
}

// What the daemon takes when it does nothing, as it is built for users: under
// 40 MB resident.
func TestIdleMemory(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "bundlesignd")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := initialized(t)
	d := launchCommand(t, dir, exec.Command(exe, "serve", "--config", filepath.Join(dir, "config.yaml")))
	d.ready()
	d.usable()
	const most = 40_000
	kB := 0
	// It is idle when the start is over, and gives back what only that needed.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if kB = status(d.cmd.Process.Pid, "VmRSS"); kB > 0 && kB <= most {
			break
		}
	}
	t.Logf("%.1f MB", float64(kB)/1000)
	if kB > most {
		t.Errorf("it takes %d kB, want at most %d", kB, most)
	}
}

// No core dump may hold what the daemon knows.
func TestNoCoreDumps(t *testing.T) {
	d := startDaemon(t, initialized(t))
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") {
			if f := strings.Fields(line); f[4] != "0" || f[5] != "0" {
				t.Errorf("core dumps are possible: %s", line)
			}
		}
	}
}
