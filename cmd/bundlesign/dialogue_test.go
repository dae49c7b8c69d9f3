package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// dialogueTime is how long a dialogue waits for what it expects.
const dialogueTime = 3 * time.Minute

// dialogueCommand is "dialogue N FILE COMMAND...": it runs a command with a
// pseudo-terminal for its standard streams, as a person does, and wants exit code
// N. Each line of FILE is one of
//
//	expect REGEXP   wait until what follows in the output matches
//	type TEXT       type TEXT and Enter; \n in it is Enter, too
//	hang up         type the end of file (^D)
//	interrupt       type ^C
//	run COMMAND     run a shell command meanwhile
//	never REGEXP    nothing of the whole output matches, at the end
func dialogueCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: dialogue N FILE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	master, slave, err := openTerminal()
	ts.Check(err)
	defer master.Close()
	ctx, cancel := context.WithTimeout(context.Background(), dialogueTime)
	defer cancel()
	// The shell finds the command in the script's PATH.
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `exec "$@"`, "sh"}, args[2:]...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "BUNDLESIGN_SOCKET", "SSH_AUTH_SOCK"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "TERM=dumb")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = slave.Close()
	ts.Check(err)

	seen := newTranscript(master)
	fail := func(format string, a ...any) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ts.Fatalf("%s\nthe terminal:\n%s", fmt.Sprintf(format, a...), seen)
	}
	var never []*regexp.Regexp
	for n, line := range strings.Split(strings.TrimSpace(ts.ReadFile(args[1])), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "expect":
			if err := seen.expect(ctx, regexp.MustCompile("(?m)"+rest)); err != nil {
				fail("line %d: %s: %v", n+1, line, err)
			}
		case "type":
			_, err = master.WriteString(strings.ReplaceAll(rest, `\n`, "\n") + "\n")
		case "hang":
			_, err = master.WriteString("\x04")
		case "interrupt":
			_, err = master.WriteString("\x03")
		case "run":
			err = ts.Exec("/bin/sh", "-euc", rest)
		case "never":
			never = append(never, regexp.MustCompile("(?m)"+rest))
		default:
			err = errors.New("no such verb")
		}
		if err != nil {
			fail("line %d: %s: %v", n+1, line, err)
		}
	}
	err = cmd.Wait()
	<-seen.ended
	var exit *exec.ExitError
	found := 0
	if errors.As(err, &exit) {
		found = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Logf("the terminal:\n%s", seen)
	if found != want {
		ts.Fatalf("found exit code %d, want %d", found, want)
	}
	for _, r := range never {
		if r.MatchString(seen.String()) {
			ts.Fatalf("found %s", r)
		}
	}
}

// openTerminal returns both ends of a pseudo-terminal, see pts(4).
func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	var n int
	ctlErr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
		if err == nil {
			err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
		}
	})
	if err = errors.Join(err, ctlErr); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

// transcript is all that a terminal has shown, without carriage returns.
type transcript struct {
	ended chan struct{}

	mu   sync.Mutex
	text []byte
	read int           // how much was expected and has come
	news chan struct{} // closed when there is more
}

func newTranscript(master *os.File) *transcript {
	s := &transcript{ended: make(chan struct{}), news: make(chan struct{})}
	go func() {
		defer close(s.ended)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text = append(s.text, bytes.ReplaceAll(buf[:n], []byte("\r"), nil)...)
			close(s.news)
			s.news = make(chan struct{})
			s.mu.Unlock()
			if err != nil { // EIO, once nobody has the other end
				return
			}
		}
	}()
	return s
}

func (s *transcript) expect(ctx context.Context, want *regexp.Regexp) error {
	for over := false; ; {
		s.mu.Lock()
		at, news := want.FindIndex(s.text[s.read:]), s.news
		if at != nil {
			s.read += at[1]
		}
		s.mu.Unlock()
		switch {
		case at != nil:
			return nil
		case over:
			return errors.New("the command has ended")
		}
		select {
		case <-news:
		case <-s.ended:
			over = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}
