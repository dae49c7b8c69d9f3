package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
	"github.com/bundlesign/bundlesign/client"
)

// asDaemon makes the test binary run as bundlesignd: the tests then need no
// build of their own, and run with the race detector on both sides.
const asDaemon = "BUNDLESIGND_TEST_RUN"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case barePKCS11Arg, bareKMSArg:
			if err := bareMain(os.Args[1], os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case provision.Arg:
			os.Exit(provision.Main())
		}
	}
	if os.Getenv(asDaemon) != "" {
		main()
	}
	os.Exit(m.Run())
}

// bundlesignd is the daemon's command line, ready to run.
func bundlesignd(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	return cmd
}

// initialized makes a configuration with a software key, and returns its folder.
func initialized(t testing.TB, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "c")
	cmd := bundlesignd(append([]string{"init", "--dir", dir, "--app", "com.acme.shop", "--origin", "example.com/test"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return dir
}

// edit replaces text in config.yaml; what is not there is a fault of the test.
func edit(t testing.TB, dir, old, replacement string) {
	t.Helper()
	path := filepath.Join(dir, "config.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("config.yaml has no %q:\n%s", old, data)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(replacement), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// process is a running bundlesignd.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	client *client.Client
	dir    string
	log    *logBuffer
	ended  chan error
}

// logBuffer collects stderr while it is being read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// launch starts the daemon without waiting for it.
func launch(t testing.TB, dir string) *process {
	t.Helper()
	return launchCommand(t, dir, bundlesignd("serve", "--config", filepath.Join(dir, "config.yaml")))
}

// launchCommand is launch by a command that ends up as the daemon.
func launchCommand(t testing.TB, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	d := &process{t: t, dir: dir, cmd: cmd, log: new(logBuffer), ended: make(chan error, 1)}
	if cmd.Env == nil {
		cmd.Env = append(os.Environ(), asDaemon+"=1")
	}
	d.cmd.Stderr = d.log
	// A test that dies must not leave its daemons behind.
	d.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	d.client = client.New(filepath.Join(dir, "bundlesignd.sock"))
	t.Cleanup(func() {
		d.client.Close()
		d.kill()
	})
	return d
}

// start starts the daemon and waits until it answers.
func startDaemon(t testing.TB, dir string) *process {
	t.Helper()
	d := launch(t, dir)
	d.ready()
	return d
}

// ready waits until the daemon answers, whatever it says.
func (d *process) ready() {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, err := d.client.Status(d.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the daemon does not answer: %v\n%s", err, d.log)
		}
	}
}

// usable waits until every key is.
func (d *process) usable() {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		keys, err := d.client.Keys(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if !slices.ContainsFunc(keys, func(k wire.Key) bool { return k.State != "ok" }) {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("a key cannot be used: %+v", keys)
		}
	}
}

// kill is kill -9.
func (d *process) kill() {
	_ = d.cmd.Process.Kill()
	err := <-d.ended
	d.ended <- err
}

// stop is SIGTERM, and waits for the end.
func (d *process) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	d.exits(0)
}

// exits waits for the daemon to end by itself with this code.
func (d *process) exits(code int) {
	d.t.Helper()
	select {
	case err := <-d.ended:
		d.ended <- err
		if got := d.cmd.ProcessState.ExitCode(); got != code {
			d.t.Fatalf("exit code %d, want %d\n%s", got, code, d.log)
		}
	case <-time.After(time.Minute):
		d.t.Fatalf("it does not end\n%s", d.log)
	}
}

// says waits until the log has the text.
func (d *process) says(text string) {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(d.log.String(), text); {
		if time.Now().After(deadline) {
			d.t.Fatalf("the log never said %q:\n%s", text, d.log)
		}
		time.Sleep(time.Millisecond)
	}
}

func bundle(n int) *wire.Submit {
	return &wire.Submit{AppID: "com.acme.shop", Channel: "production", Version: fmt.Sprintf("1.0.%d", n), Digest: fmt.Sprintf("%064x", n+1)}
}
