package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// playEnv makes this test program play a part in another process.
const playEnv = "BUNDLESIGN_TEST_PLAY"

// TestPlay is no test but the other processes of those below.
func TestPlay(*testing.T) {
	part, arg, _ := strings.Cut(os.Getenv(playEnv), " ")
	switch part {
	case "connect": // to the socket at arg, and stay until stdin ends
		c, err := net.Dial("unix", arg)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = c.Close()
		os.Exit(0)
	case "wait":
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "reuse":
		if err := reusePid(arg); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// actor is this test program in another process.
type actor struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// play starts a part that says "ready" and then stays until it is told to end.
func play(part string) (*actor, error) { return playAs(part, nil) }

func playAs(part string, how *syscall.SysProcAttr) (*actor, error) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPlay$")
	cmd.SysProcAttr = how
	cmd.Env = append(os.Environ(), playEnv+"="+part)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &actor{cmd, stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("%s said %q: %w", part, line, err), a.end())
	}
	return a, nil
}

// end has the process end, and waits until nothing of it is left.
func (a *actor) end() error {
	_ = a.stdin.Close()
	return a.cmd.Wait()
}

func mustPlay(t *testing.T, part string) *actor {
	t.Helper()
	a, err := play(part)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.end() })
	return a
}

func listenHere(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen(filepath.Join(t.TempDir(), "s"), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// connected is the peer of a process that has connected to l.
func connected(l net.Listener) (*actor, net.Conn, *peer, error) {
	a, err := play("connect " + l.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := askKernel(c)
	return a, c, p, err
}

// fakeProc is a folder with the file cgroup of a process, as if it ran in a unit:
// that needs systemd otherwise. Who has which pid remains the kernel's to say.
func fakeProc(pid int32, unit string) (string, error) {
	dir, err := os.MkdirTemp("", "fakeproc")
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, strconv.Itoa(int(pid)))
	return dir, errors.Join(os.Mkdir(folder, 0o700),
		os.WriteFile(filepath.Join(folder, "cgroup"), []byte("0::/system.slice/"+unit+"\n"), 0o600))
}

func TestUnitOfAPeer(t *testing.T) {
	l := listenHere(t)
	a, c, p, err := connected(l)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer p.close()
	if int(p.pid) != a.cmd.Process.Pid || p.process == nil || p.process.pid != p.pid {
		t.Fatalf("the peer is process %d (%+v), want %d", p.pid, p.process, a.cmd.Process.Pid)
	}
	proc, err := fakeProc(p.pid, "runner.service")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(proc)
	u := &units{proc, zap.NewNop()}
	if got := u.of(p); got != "runner.service" {
		t.Errorf("got unit %q, want runner.service", got)
	}
	// hidepid= looks like this.
	hidden := &units{t.TempDir(), zap.NewNop()}
	if got, err := hidden.read(p); got != "" || err == nil || !strings.Contains(err.Error(), "hidepid") {
		t.Errorf("with a hidden /proc: got unit %q, %v, want none and why", got, err)
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if got, err := u.read(p); got != "" || !errors.Is(err, errGone) {
		t.Errorf("of a process that has ended: got unit %q, %v, want none", got, err)
	}
}

// What a decision is made about has the unit, as long as the peer is there.
func TestCallerHasItsUnit(t *testing.T) {
	l := listenHere(t)
	a, c, p, err := connected(l)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer p.close()
	proc, err := fakeProc(p.pid, "runner.service")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(proc)
	s := New(oneRequest{}, Config{}, zap.NewNop())
	s.units.proc = proc
	r := httptest.NewRequest("POST", "/v1/signatures", nil)
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, p))
	if who, err := s.caller(r); err != nil || who.Unit != "runner.service" || int(who.UID) != os.Getuid() {
		t.Errorf("got %+v, %v, want unit runner.service", who, err)
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if who, err := s.caller(r); err != nil || who.Unit != "" || int(who.UID) != os.Getuid() {
		t.Errorf("of a process that has ended: got %+v, %v, want the user and no unit", who, err)
	}
}

// A process that ends before it is accepted has no unit either.
func TestPeerThatEndedBeforeItWasAccepted(t *testing.T) {
	l := listenHere(t)
	a := mustPlay(t, "connect "+l.Addr().String())
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := askKernel(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if int(p.pid) != a.cmd.Process.Pid || int(p.uid) != os.Getuid() {
		t.Errorf("the peer is process %d of uid %d, want %d of %d", p.pid, p.uid, a.cmd.Process.Pid, os.Getuid())
	}
	proc, err := fakeProc(p.pid, "runner.service")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(proc)
	if got, err := (&units{proc, zap.NewNop()}).read(p); got != "" || err == nil {
		t.Errorf("got unit %q, %v, want none", got, err)
	}
}

// The way for kernels before 6.5.
func TestOpenProcess(t *testing.T) {
	a := mustPlay(t, "wait")
	pid := int32(a.cmd.Process.Pid)
	now, err := bootNanoseconds()
	if err != nil {
		t.Fatal(err)
	}
	p, err := openProcess("/proc", pid, now)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.alive(); err != nil {
		t.Errorf("it is there, and: %v", err)
	}
	started, err := startTick("/proc", pid)
	if err != nil {
		t.Fatal(err)
	}
	// Accepted before this process started: it is another one's successor.
	if p, err := openProcess("/proc", pid, (started-1)*nanosecondsPerTick); !errors.Is(err, errGone) {
		t.Errorf("a successor: got %+v, %v, want that the peer is gone", p, err)
	}
	// In the same clock tick it may be the one.
	same, err := openProcess("/proc", pid, started*nanosecondsPerTick)
	if err != nil {
		t.Fatalf("a process that connects at once: %v", err)
	}
	defer same.close()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if err := p.alive(); !errors.Is(err, errGone) {
		t.Errorf("it has ended, and: %v", err)
	}
	if p, err := openProcess("/proc", pid, now); err == nil && p.alive() == nil {
		t.Log("the number was given to another process meanwhile")
	} else if err != nil && !errors.Is(err, errGone) {
		t.Errorf("of a process that has ended: %v", err)
	}
}

func TestStartTickOfAStrangeName(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	stat := filepath.Join(dir, "7", "stat")
	for text, want := range map[string]uint64{
		"7 (x) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0":                  4242,
		"7 (a) S 1 (b) ) R 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 99 0 0":          99,
		"7 () 0 0 0 0 0 0 0 0 0 0) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0": 5,
	} {
		if err := os.WriteFile(stat, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := startTick(dir, 7); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7 (x) S 1", "no parenthesis"} {
		if err := os.WriteFile(stat, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := startTick(dir, 7); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

// A pid is taken from a process that connected and ended, and given to another in
// a namespace where this can be done. The kernel's pids are real, and only what
// /proc says of the unit is not.
func TestReusedPid(t *testing.T) {
	l := listenHere(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPlay$")
	cmd.Env = append(os.Environ(), playEnv+"=reuse "+l.Addr().String()+".inner")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOSYS) || strings.Contains(string(out), errCannotReuse.Error()) {
		// TestUnitOfAPeer shows the same of a process whose pid is not reused.
		t.Logf("this machine does not let a pid be chosen: %v %s", err, out)
		return
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

var errCannotReuse = errors.New("no pid can be chosen here")

// reusePid is the daemon and its attacker, as PID 1 of a namespace.
func reusePid(socket string) error {
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""))
	if err != nil {
		return errors.Join(errCannotReuse, err)
	}
	l, err := Listen(socket, 0o600, "")
	if err != nil {
		return err
	}
	defer l.Close()
	runner, c, p, err := connected(l)
	if err != nil {
		return err
	}
	defer c.Close()
	defer p.close()
	fake, err := fakeProc(p.pid, "runner.service")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fake)
	u := &units{fake, zap.NewNop()}
	accepted, err := bootNanoseconds()
	if err != nil {
		return err
	}
	if got, err := u.read(p); got != "runner.service" || err != nil {
		return fmt.Errorf("while the peer is there: got unit %q, %w, want runner.service", got, err)
	}
	if err := runner.end(); err != nil {
		return err
	}
	successor, err := become(p.pid)
	if err != nil {
		return err
	}
	defer successor.end()
	if got, err := u.read(p); got != "" || !errors.Is(err, errGone) {
		return fmt.Errorf("the successor's unit %q (%v) is taken for that of the peer", got, err)
	}
	// Without SO_PEERPIDFD it is found out by when it started, once the clock that
	// counts that has moved on.
	started, err := startTick("/proc", p.pid)
	if err != nil {
		return err
	}
	if started == accepted/nanosecondsPerTick {
		accepted -= nanosecondsPerTick
	}
	if got, err := openProcess("/proc", p.pid, accepted); !errors.Is(err, errGone) {
		return fmt.Errorf("the successor %+v (%v) is taken for the peer", got, err)
	}
	return nil
}

// become starts processes until one has this pid.
func become(pid int32) (*actor, error) {
	for range 100 {
		last := []byte(strconv.Itoa(int(pid) - 1))
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", last, 0); err != nil {
			return nil, errors.Join(errCannotReuse, err)
		}
		a, err := play("wait")
		if err != nil {
			return nil, err
		}
		if a.cmd.Process.Pid == int(pid) {
			return a, nil
		}
		if err := a.end(); err != nil { // a thread was faster
			return nil, err
		}
	}
	return nil, errors.Join(errCannotReuse, errors.New("tried 100 times"))
}

// pidfds counts the open pidfds of this process on itself.
func pidfds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		info, err := os.ReadFile("/proc/self/fdinfo/" + e.Name())
		if err == nil && strings.Contains(string(info), "\nPid:\t"+strconv.Itoa(os.Getpid())+"\n") {
			n++
		}
	}
	return n
}

// A pidfd is closed with its connection, and when the connection is refused.
func TestPidfdsAreClosed(t *testing.T) {
	before := pidfds(t)
	l := &peerListener{Listener: listenHere(t), limits: newPeerLimits(Config{Connections: 3}), log: zap.NewNop()}
	accepted := make(chan net.Conn)
	served := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 20 {
		var ours, theirs []net.Conn
		for range 3 {
			ours = append(ours, dial())
			theirs = append(theirs, <-accepted)
		}
		if n := pidfds(t); n != before+3 {
			t.Fatalf("%d pidfds are open, want %d and one for each of three connections", n, before)
		}
		for range 5 { // refused: one too many
			c := dial()
			if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), "429") {
				t.Fatalf("got %q, %v, want 429", answer, err)
			}
			_ = c.Close()
		}
		for i := range theirs {
			_ = theirs[i].Close()
			_ = theirs[i].Close() // a second time does no harm
			_ = ours[i].Close()
		}
	}
	_ = l.Close()
	<-served
	if n := pidfds(t); n != before {
		t.Errorf("%d pidfds are open, want %d as at the start", n, before)
	}
}

// A connection that is closed while its request is decided has no unit; and above
// all it has not that of whatever has the file's number next.
func TestUnitAfterTheConnectionWasClosed(t *testing.T) {
	l := listenHere(t)
	a, c, p, err := connected(l)
	if err != nil {
		t.Fatal(err)
	}
	defer a.end()
	_ = c.Close()
	_ = p.close()
	proc, err := fakeProc(p.pid, "runner.service")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(proc)
	if got, err := (&units{proc, zap.NewNop()}).read(p); got != "" || err == nil {
		t.Errorf("got unit %q, %v, want none", got, err)
	}
}
