package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesOfOtherMachines(t *testing.T) {
	for _, tc := range []struct {
		address string
		want    []string // what follows the options
	}{
		{"ssh://signer.example", []string{"--", "signer.example", "bundlesign dial-stdio"}},
		{"ssh://signer/", []string{"--", "signer", "bundlesign dial-stdio"}},
		{"ssh://deploy@signer:2222", []string{"-l", "deploy", "-p", "2222", "--", "signer", "bundlesign dial-stdio"}},
		{"ssh://me@acme.example@signer", []string{"-l", "me@acme.example", "--", "signer", "bundlesign dial-stdio"}},
		{"ssh://[::1]:22", []string{"-p", "22", "--", "::1", "bundlesign dial-stdio"}},
		{
			"ssh://192.0.2.1/run/b-1/d.sock",
			[]string{"--", "192.0.2.1", "bundlesign dial-stdio --socket '/run/b-1/d.sock'"},
		},
	} {
		target, err := parseSSH(tc.address)
		if err != nil {
			t.Errorf("%s: %v", tc.address, err)
			continue
		}
		args := target.sshArgs()
		if i := slices.Index(args, "RemoteCommand=none"); !slices.Equal(args[i+1:], tc.want) {
			t.Errorf("%s: found %q, want %q", tc.address, args[i+1:], tc.want)
		}
		if shown := New(tc.address).Socket(); shown != strings.TrimSuffix(tc.address, "/") {
			t.Errorf("%s is shown as %s", tc.address, shown)
		}
	}
}

// Whoever may write a file in a repository must not get a command out of it.
func TestHostileAddresses(t *testing.T) {
	for _, address := range []string{
		"ssh://", "ssh:///run/d.sock", "ssh://@host", "ssh://host:", "ssh://host:0", "ssh://host:65536", "ssh://host:x", "ssh://host:-1",
		"ssh://-oProxyCommand=id", "ssh://-oProxyCommand=id/x", "ssh://-l@host", "ssh://-oX=y@host", "ssh://u@-host",
		"ssh://host;id", "ssh://$(id)", "ssh://`id`@host", "ssh://a b@host", "ssh://u'@host", "ssh://u\"@host", "ssh://u|id@host",
		"ssh://u&id@host", "ssh://u$HOME@host", "ssh://host\nx", "ssh://host\x00", "ssh://u!@host", "ssh://u*@host", "ssh://h%68st",
		"ssh://%2doX@host", "ssh://host\u202e", "ssh://höst", "ssh://[::1%25eth0]", "ssh://[fe80::1%eth0]",
		"ssh://user:secret@host", "ssh://:secret@host", "ssh://user:@host",
		"ssh://host?x=secret", "ssh://host#x", "ssh://host?", "ssh://host/x#",
		"ssh://host/run/../etc/x", "ssh://host//run/x", "ssh://host/run/", "ssh://host/./x", "ssh://host/'", "ssh://host/';id;'",
		"ssh://host/a b", "ssh://host/$x", "ssh://host/~/x", "ssh://host/\\x", "ssh://host/%27", "ssh://host/\u202e",
		"ssh://host/" + strings.Repeat("x", maxSocketPath),
		"SSH://host", "unix:///run/d.sock", "tcp://host:1", "http://user:secret@host",
	} {
		c := New(address)
		_, err := c.Status(t.Context())
		var gone *UnreachableError
		if !errors.As(err, &gone) || gone.Reason != BadAddress || gone.Detail == "" {
			t.Errorf("%q: found %v, want that it is refused", address, err)
		}
		if strings.Contains(fmt.Sprint(err, c.Socket()), "secret") {
			t.Errorf("%q: the secret is shown: %v", address, err)
		}
		if err := DialStdio(t.Context(), address, strings.NewReader(""), io.Discard, io.Discard); !errors.As(err, &gone) {
			t.Errorf("%q: dial-stdio: found %v, want that it is refused", address, err)
		}
	}
	// What has no scheme is a file.
	for _, path := range []string{"ssh:/host", "ssh", "a/b://c", "./ssh://host"} {
		var gone *UnreachableError
		if _, err := New(path).Status(t.Context()); !errors.As(err, &gone) || gone.Reason != NoSocket {
			t.Errorf("%q: found %v, want that there is no such socket", path, err)
		}
	}
}

func TestWhyAConnectionThroughSSHFailed(t *testing.T) {
	const at = "ssh://signer"
	report := func(e UnreachableError) string {
		var b strings.Builder
		if err := e.report(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, tc := range []struct {
		name     string
		stderr   string
		code     int
		answered bool
		want     *UnreachableError
	}{
		{"it ended well", "a banner\n", 0, true, nil},
		{"the daemon hung up before it said anything", "", 0, false, &UnreachableError{Socket: at, Reason: Lost}},
		{"ssh was cut off", "\nclient_loop: send disconnect: Broken pipe\r\n", 255, true, &UnreachableError{
			Socket: at, Reason: Lost, Detail: "client_loop: send disconnect: Broken pipe",
		}},
		{"ssh refused", "@@@\nWARNING\nbanner\nx\n\nHost key verification failed.\n", 255, false, &UnreachableError{
			Socket: at, Reason: SSHFailed, Detail: "banner; x; Host key verification failed.",
		}},
		{"ssh was killed", "", -1, false, &UnreachableError{Socket: at, Reason: SSHFailed}},
		{"no such program", "sh: 1: bundlesign: not found\n", 127, false, &UnreachableError{
			Socket: at, Reason: NoProgram, Detail: "sh: 1: bundlesign: not found",
		}},
		{"another program", "", 3, false, &UnreachableError{
			Socket: at, Reason: OtherReason, Detail: "what ssh ran there ended with exit code 3 and said nothing",
		}},
		{"no daemon", "banner\n" + report(UnreachableError{Socket: "/run/d.sock", Reason: NoPermission, Detail: "it belongs to root:signers", Group: "signers"}) + "bundlesign: hint: x\n", 5, false, &UnreachableError{
			Socket: at, Reason: NoPermission, Detail: "/run/d.sock there: it belongs to root:signers", Group: "signers",
		}},
		{"a report that plays with the terminal", report(UnreachableError{Socket: "/\x1b[2J\u202e", Reason: NoSocket, Group: "\x07"}), 5, false, &UnreachableError{
			Socket: at, Reason: NoSocket, Detail: "/?[2J? there", Group: "?",
		}},
		{"a reason of nobody's", reportPrefix + `{"reason":"all is well"}` + "\n", 5, false, &UnreachableError{
			Socket: at, Reason: OtherReason, Detail: reportPrefix + `{"reason":"all is well"}`,
		}},
		{"text that plays with the terminal", "\x1b[2J\u202eyes\n", 255, false, &UnreachableError{Socket: at, Reason: SSHFailed, Detail: "?[2J?yes"}},
		{"much text", strings.Repeat("x", 5000) + "end\n", 255, false, &UnreachableError{
			Socket: at, Reason: SSHFailed, Detail: "..." + strings.Repeat("x", 297) + "end",
		}},
	} {
		if diff := cmp.Diff(tc.want, sshFailure(at, tc.stderr, tc.code, tc.answered)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// fakeSSH puts a script in the place of ssh. It writes its process id to the file
// that is returned.
func fakeSSH(t *testing.T, script string) (pidFile string) {
	t.Helper()
	dir := t.TempDir()
	pidFile = filepath.Join(dir, "pid")
	text := "#!/bin/sh\necho $$ >" + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return pidFile
}

// isGone reports whether the process of a pid file neither runs nor waits to be
// waited for.
func isGone(t *testing.T, pidFile string) bool {
	t.Helper()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestWhatIsNoAnswerIsNotTakenForOne(t *testing.T) {
	fakeSSH(t, `echo "Welcome to this machine"; cat >/dev/null`)
	_, err := New("ssh://signer").Status(t.Context())
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != OtherReason || !strings.Contains(gone.Detail, `found "Welcome to this machine\n" instead of an answer`) {
		t.Errorf("found %v", err)
	}
}

func TestNoSSH(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New("ssh://signer").Status(t.Context())
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != NoSSH || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("found %v, want that there is no ssh", err)
	}
}

// An ssh that gets nowhere is killed, and waited for, when its caller has no more
// time.
func TestTheEndOfACallEndsSSH(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	pidFile := fakeSSH(t, `trap '' TERM HUP INT PIPE; echo >`+started+`; while :; do read line || exec cat <`+started+`; done`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	c := New("ssh://signer")
	go func() {
		_, err := c.Status(ctx)
		c.Close()
		done <- err
	}()
	if _, err := os.ReadFile(started); err != nil { // until it has started
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want that it was cancelled", err)
	}
	if !isGone(t, pidFile) {
		t.Error("ssh is still there")
	}
}

// What ssh must not have: a terminal, on which it could ask for secrets, the
// caller's agent, and what a user forwards on other occasions.
func TestSSHHasNoTerminalAndNoAgent(t *testing.T) {
	// The process id and the session, see proc(5).
	fakeSSH(t, `cut -d' ' -f1,6 /proc/$$/stat >&2; exit 7`)
	_, err := New("ssh://signer").Status(t.Context())
	var gone *UnreachableError
	if !errors.As(err, &gone) {
		t.Fatalf("found %v", err)
	}
	if f := strings.Fields(gone.Detail); len(f) != 2 || f[0] != f[1] {
		t.Errorf("found process and session %q, want a session of its own", gone.Detail)
	}
	args := strings.Join((&sshTarget{host: "h"}).sshArgs(), " ")
	for _, want := range []string{"-T ", "ForwardAgent=no", "ClearAllForwardings=yes", "PermitLocalCommand=no"} {
		if !strings.Contains(args, want) {
			t.Errorf("found the arguments %s, want %s among them", args, want)
		}
	}
}

func TestDialStdioPassesBothHalves(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, err := io.ReadAll(conn) // until the other half is closed
		fmt.Fprintf(conn, "%d bytes, %v", len(all), err)
	}()
	var out, report strings.Builder
	err = DialStdio(t.Context(), socket, strings.NewReader(strings.Repeat("x", 1<<20)), &out, &report)
	if err != nil || out.String() != "1048576 bytes, <nil>" || report.Len() > 0 {
		t.Errorf("found %q, report %q, %v", out.String(), report.String(), err)
	}
}

// The daemon ends it, while the other side says nothing and does not hang up.
func TestDialStdioEndsWithTheDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "bye")
			_ = conn.Close()
		}
	}()
	in, hold := io.Pipe()
	defer hold.Close()
	var out strings.Builder
	if err := DialStdio(t.Context(), socket, in, &out, io.Discard); err != nil || out.String() != "bye" {
		t.Errorf("found %q, %v", out.String(), err)
	}
}

func TestDialStdioReportsForTheOtherSide(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	var out, report strings.Builder
	err := DialStdio(t.Context(), socket, strings.NewReader(""), &out, &report)
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != NoSocket || out.Len() > 0 {
		t.Errorf("found %v and %q on stdout, want that there is no socket", err, out.String())
	}
	if want := `bundlesign: dial-stdio: {"socket":"` + socket + `","reason":"no such socket"}` + "\n"; report.String() != want {
		t.Errorf("found the report %q, want %q", report.String(), want)
	}
}
