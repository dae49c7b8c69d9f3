package scripts

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkout is as much of the repository as the demo needs, in a folder of its
// own, with both programs built.
type checkout struct {
	dir     string
	runtime string // XDG_RUNTIME_DIR
}

func newCheckout(t *testing.T, name string) *checkout {
	t.Helper()
	base, err := os.MkdirTemp("", "demo") // short: a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	c := &checkout{dir: filepath.Join(base, name), runtime: filepath.Join(base, "run")}
	const webApp = "examples/web-app"
	if err := os.CopyFS(filepath.Join(c.dir, webApp), os.DirFS(filepath.Join("..", webApp))); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{c.runtime, filepath.Join(c.dir, "scripts")} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "scripts/demo"} {
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, file), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for program, cgo := range map[string]string{"bundlesignd": "1", "bundlesign": "0"} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(c.dir, "bin", program), "../cmd/"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", program, err, out)
		}
	}
	return c
}

// command runs something in the checkout, as from a user's shell.
func (c *checkout) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+c.runtime)
	return cmd
}

func (c *checkout) demo(t *testing.T) string {
	t.Helper()
	out, err := c.command("scripts/demo").CombinedOutput()
	if err != nil {
		t.Fatalf("scripts/demo: %v\n%s", err, out)
	}
	return string(out)
}

// check judges what the demo left, and returns its socket.
func (c *checkout) check(t *testing.T, out string) (socket string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, "demo/result.json"))
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ Filename, Checksum, IVSessionKey, KeyID, RequestID string }
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	if want := "demo/bundle.zip_encrypted.zip"; result.Filename != want {
		t.Errorf("result.json names the file %q, want %q, as from the root of the repository", result.Filename, want)
	}
	if len(result.Checksum) != 512 || result.IVSessionKey == "" || result.KeyID == "" || result.RequestID == "" {
		t.Errorf("result.json is not the result of a signature: %s", data)
	}
	verify := c.command("bin/bundlesign", "verify", "--result", "demo/result.json", "--public-key", "demo/public.pem")
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("what the demo left does not verify: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "demo/bundle.zip")); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		result.RequestID, `rule "starter" allows it`, result.Checksum[:40], "log              entry 2", "FAILED",
		"bin/bundlesignd serve --config demo/config/config.yaml",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
	found := regexp.MustCompile(`bin/bundlesign --socket (\S+) log\n`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("the demo does not say where its socket is:\n%s", out)
	}
	socket = found[1]
	if !filepath.IsAbs(socket) {
		socket = filepath.Join(c.dir, socket)
	}
	if conn, err := net.Dial("unix", socket); err == nil {
		_ = conn.Close()
		t.Errorf("the demo left a daemon behind that serves %s", socket)
	}
	return socket
}

func TestDemo(t *testing.T) {
	c := newCheckout(t, "repo")
	c.check(t, c.demo(t))
	// The command that it ends with does start the same daemon again ...
	var log bytes.Buffer
	serve := c.command("bin/bundlesignd", "serve", "--config", "demo/config/config.yaml")
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() { _ = serve.Process.Kill() })
	status := c.command("bin/bundlesign", "--socket", "demo/bundlesignd.sock", "status", "--wait", "30s")
	if out, err := status.CombinedOutput(); err != nil {
		t.Fatalf("the same daemon did not start again: %v\n%s%s", err, out, log.String())
	}
	// ... which is then like one that an interrupted demo has left behind.
	out := c.demo(t)
	if !strings.HasPrefix(out, "A daemon of an earlier demo still runs") {
		t.Errorf("the second demo says nothing of the daemon in its way:\n%s", out)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the daemon in the way was not stopped properly: %v\n%s", err, log.String())
		}
	case <-time.After(time.Minute):
		t.Error("the daemon in the way still runs")
	}
	c.check(t, out)
}

// In a folder with a path that is too long for a socket, it is somewhere else.
func TestDemoInDeepFolder(t *testing.T) {
	c := newCheckout(t, strings.Repeat("deep/", 20)+"repo")
	socket := c.check(t, c.demo(t))
	if !strings.HasPrefix(socket, c.runtime) {
		t.Errorf("the socket is %s, want it in %s", socket, c.runtime)
	}
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the socket is open to others: %v, %v", info, err)
	}
}

// An interrupt must not leave a daemon behind.
func TestDemoInterrupted(t *testing.T) {
	c := newCheckout(t, "repo")
	cmd := c.command("scripts/demo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// As soon as the daemon runs, an interrupt for the whole group: Ctrl-C.
	var seen bytes.Buffer
	buf := make([]byte, 1)
	for !strings.Contains(seen.String(), "state    ok") {
		n, err := out.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("the demo ended before its daemon was ready: %v\n%s", err, seen.String())
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = seen.ReadFrom(out)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("the interrupted demo ended with %v, want a failure", err)
	}
	if conn, err := net.Dial("unix", filepath.Join(c.dir, "demo/bundlesignd.sock")); err == nil {
		_ = conn.Close()
		t.Error("the interrupted demo left its daemon behind")
	}
}
