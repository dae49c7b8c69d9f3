package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

func program(t *testing.T, mode os.FileMode, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pinomatic")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func fromCommand(ctx context.Context, path string) (string, error) {
	s, err := newPIN(uri.PINSource{Command: path}, "/run/credentials/x").read(ctx)
	if err != nil {
		return "", err
	}
	if s.state != "" {
		return "", errors.New("a program's output is said to be the same file after a restart")
	}
	return string(s.value), nil
}

func TestPINCommand(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DAEMON", "4711")
	t.Setenv("CREDENTIALS_DIRECTORY", "/elsewhere")
	for _, test := range []struct{ script, want string }{
		{"echo 1234", "1234"},
		{"printf 1234", "1234"},
		{"printf ' 1 2\\r\\n'", " 1 2"},
		{"echo 1234; echo debugging >&2", "1234"},
		{`echo "$#-$0-$SECRET_OF_THE_DAEMON-$CREDENTIALS_DIRECTORY-$PWD" | sed 's,/.*pinomatic,P,'`, "0-P--/run/credentials/x-/"},
		{"printf '%0255d'", strings.Repeat("0", 255)},
		{"cat; echo 1234", "1234"}, // there is no input to wait for
	} {
		if got, err := fromCommand(t.Context(), program(t, 0o700, test.script)); got != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", test.script, got, err, test.want)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(program(t, 0o755, "echo 1234"), link); err != nil {
		t.Fatal(err)
	}
	if got, err := fromCommand(t.Context(), link); got != "1234" || err != nil {
		t.Errorf("a link to a program: %q, %v", got, err)
	}
}

func TestPINCommandFails(t *testing.T) {
	const secret = "hush-4711"
	others := program(t, 0o755, "echo 1")
	if err := os.Chmod(filepath.Dir(others), 0o777); err != nil {
		t.Fatal(err)
	}
	foreign := program(t, 0o755, "echo 1")
	foreignText := "belongs to uid 12345"
	if err := os.Chown(foreign, 12345, -1); err != nil {
		foreign, foreignText = others, "others may write to it" // without root nothing can be given away
	}
	for _, test := range []struct {
		name, path string
		kind       error
		text       string
	}{
		{"fails", program(t, 0o700, "echo "+secret+"; echo "+secret+" >&2; exit 3"), signer.ErrUnavailable, "exit status 3"},
		{"prints nothing", program(t, 0o700, ""), signer.ErrKeyUnusable, "does not hold a PIN"},
		{"prints two lines", program(t, 0o700, "echo "+secret+"; echo 2"), signer.ErrKeyUnusable, "does not hold a PIN"},
		{"prints too much", program(t, 0o700, "while :; do echo "+secret+"; done"), signer.ErrUnavailable, "more than 256 bytes"},
		{"is not there", "/nonexistent/pinomatic", signer.ErrUnavailable, "no such file"},
		{"may not be executed", program(t, 0o600, ""), signer.ErrKeyUnusable, "is not a program"},
		{"is a directory", t.TempDir(), signer.ErrKeyUnusable, "is not a program"},
		{"others may write", program(t, 0o722, ""), signer.ErrKeyUnusable, "others may write to it"},
		{"others may replace", others, signer.ErrKeyUnusable, "others may write to it"},
		{"is somebody else's", foreign, signer.ErrKeyUnusable, foreignText},
		{"is no program", textFile(t), signer.ErrUnavailable, "exec format error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := fromCommand(t.Context(), test.path)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%q, %v; want an error of kind %v with %q", got, err, test.kind, test.text)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells what was printed: %v", err)
			}
		})
	}
}

// textFile is a file that may be executed and cannot be.
func textFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("\x00\x01"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPINCommandIsKilled has a program hang, together with what it has started.
func TestPINCommandIsKilled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	path := program(t, 0o700, fmt.Sprintf("sleep 1000 & echo $! >%s.new; mv %s.new %s; echo 1234; wait", pids, pids, pids))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := fromCommand(ctx, path)
		done <- err
	}()
	var pid int
	waitFor(t, "the program has started another", func() bool {
		b, err := os.ReadFile(pids)
		_, scanErr := fmt.Sscan(string(b), &pid)
		return err == nil && scanErr == nil
	})
	cancel()
	if err := <-done; !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("error %v, want %v", err, signer.ErrUnavailable)
	}
	waitFor(t, "what the program has started is gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") || unix.Kill(pid, 0) != nil
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after a minute: %s", what)
		}
	}
}
