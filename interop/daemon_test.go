package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

// keySource is a private key that exists already, and where the daemon finds it.
type keySource struct {
	uri    string
	public *capgo.PublicKey
	env    []string // more variables for the daemon
}

// daemon is a running bundlesignd with one key.
type daemon struct {
	socket string
	public *capgo.PublicKey
}

// startDaemon makes a configuration for the key, as an operator does, and runs the
// daemon until the test ends. It must then end cleanly.
func startDaemon(t testing.TB, key keySource) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs") // short: a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &daemon{socket: filepath.Join(dir, "sock"), public: key.public}

	public := filepath.Join(dir, "public.pem")
	if err := os.WriteFile(public, []byte(key.public.PEM()), 0o644); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config")
	initialize := exec.Command(programs.daemon, "init", "--dir", config, "--socket", d.socket, "--state-dir", filepath.Join(dir, "state"),
		"--app", appID, "--user", programs.user, "--origin", "interop.example/bundlesign", "--key-uri", key.uri, "--public-key", public)
	initialize.Env = append(os.Environ(), key.env...)
	if out, err := initialize.CombinedOutput(); err != nil {
		t.Fatalf("bundlesignd init: %v\n%s", err, out)
	}

	var log bytes.Buffer
	serve := exec.Command(programs.daemon, "serve", "--config", filepath.Join(config, "config.yaml"))
	serve.Stderr = &log
	serve.Env = initialize.Env
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stuck := time.AfterFunc(time.Minute, func() { _ = serve.Process.Kill() })
		defer stuck.Stop()
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("bundlesignd serve: %v", err)
		}
		if t.Failed() {
			t.Logf("bundlesignd said:\n%s", log.String())
		}
	})
	if out, code := d.bundlesign(t, "", "status", "--wait", "30s"); code != 0 {
		t.Fatalf("the daemon is not well:\n%s", out)
	}
	return d
}

// bundlesign runs the client in dir and returns what it printed, on stdout only if
// it succeeds, and its exit code.
func (d *daemon) bundlesign(t testing.TB, dir string, args ...string) (string, int) {
	t.Helper()
	return bundlesign(t, dir, append([]string{"--socket", d.socket}, args...)...)
}

func bundlesign(t testing.TB, dir string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(programs.client, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.String(), 0
	case errors.As(err, &exit) && exit.Exited():
		return stdout.String() + stderr.String(), exit.ExitCode()
	}
	t.Fatalf("bundlesign %s: %v", strings.Join(args, " "), err)
	return "", -1
}

// sign has a bundle in the project's folder signed and encrypted. The version of
// the app tells requests for the same bundle apart.
func (d *daemon) sign(t testing.TB, p *project, name, version string, format capgo.ChecksumFormat) sealed {
	t.Helper()
	out, code := d.bundlesign(t, p.dir, "sign", name, "--app", appID, "--channel", "production",
		"--version", version, "--format", string(format), "--json")
	if code != 0 {
		t.Fatalf("bundlesign sign ended with code %d:\n%s", code, out)
	}
	var s sealed
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("bundlesign sign printed %q: %v", out, err)
	}
	if want := name + "_encrypted.zip"; s.Filename != want {
		t.Errorf("bundlesign sign wrote %q, want %q, as the official CLI does", s.Filename, want)
	}
	return s
}
