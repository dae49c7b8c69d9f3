package pkcs11

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
)

const (
	// stopGrace is how long a child may take to log out and end when asked.
	stopGrace = 2 * time.Second
	// killGrace is how long the kernel may take to end a killed child. One that
	// hangs in a device driver cannot be killed at all.
	killGrace = 5 * time.Second
	// ahead is how many orders the child has beyond those that its sessions work
	// on, so that none waits for the next.
	ahead = 2
)

var errStopped = errors.New("the module was closed")

// process is one run of the child, from its start to its end.
type process struct {
	log    *zap.Logger
	strike func(string) string // takes the PIN out of a text
	cmd    *exec.Cmd
	conn   *net.UnixConn
	out    *proto.Writer

	mu     sync.Mutex
	calls  map[uint64]*call
	lastID uint64
	cause  error         // why it is of no more use; nil while it is
	dead   chan struct{} // closed when cause is set
	reaped chan struct{} // closed when the process is gone
	wg     sync.WaitGroup

	// Set once, when the module is open, before anybody else has the process.
	module   string // path
	opened   proto.Opened
	identity pinrecord.Token
	sessions int
	slots    chan struct{} // holds one element per order that the child has

	pace     pace
	worked   atomic.Bool  // it has made a signature or shown a key
	failures atomic.Int32 // since then, of a kind that a new session should have mended

	// Guarded by the Module's mutex.
	logins  int
	relogin *attempt
	tookPIN [32]byte // what the token took at login, as [pin.hash] writes it; zero: nothing yet
}

// startProcess starts the child. It does not say anything to it yet.
func startProcess(argv []string, log *zap.Logger, strike func(string) string) (*process, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer outW.Close()

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = childEnv(os.Environ())
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = outW, outW
	cmd.ExtraFiles = []*os.File{theirs} // becomes descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // a terminal's Ctrl-C is for the daemon
	}
	p := &process{
		strike: strike,
		cmd:    cmd,
		conn:   ours,
		out:    proto.NewWriter(ours),
		calls:  map[uint64]*call{},
		dead:   make(chan struct{}),
		reaped: make(chan struct{}),
	}
	started := make(chan error)
	p.wg.Go(func() { p.supervise(started) })
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("starting the module's process: %w", err), ours.Close(), outR.Close())
	}
	p.log = log.With(zap.Int("pid", cmd.Process.Pid))
	p.wg.Go(p.receive)
	p.wg.Go(func() {
		logOutput(outR, p.log, strike)
		outR.Close()
	})
	p.wg.Go(func() {
		<-p.reaped
		// A process that the module started may hold the pipe open for ever.
		_ = outR.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if cause := p.why(); !errors.Is(cause, errStopped) {
			p.log.Warn("pkcs11 module's process is gone; the next use starts a new one",
				zap.String("process", cmd.ProcessState.String()), zap.Error(cause))
		}
	})
	return p, nil
}

// supervise starts the process and waits for its end, on one thread: the kernel
// sends the death signal when the thread that forked ends, not the process.
func (p *process) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	// The error says how it ended, and so does the state.
	_ = p.cmd.Wait()
	p.end(fmt.Errorf("the module's process ended: %s", p.cmd.ProcessState))
	close(p.reaped)
}

// lost is called when nothing more can be read from the child. If that is because
// it is ending, supervise will say how, and it may still be writing why; if it
// goes on without a connection, it is of no use.
func (p *process) lost(err error) {
	const lastWords = 5 * time.Second
	select {
	case <-p.reaped:
	case <-p.dead:
	case <-time.After(lastWords):
		p.end(fmt.Errorf("the module's process closed its connection: %w", err))
	}
}

// end kills the process and fails all its calls. The first cause counts.
func (p *process) end(cause error) {
	calls, first := p.condemn(cause)
	if !first {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.conn.Close()
	for _, c := range calls {
		c.timer.Stop()
		c.done <- answer{err: &goneError{cause}}
	}
}

// condemn marks the process as of no more use, and returns the calls that are left.
func (p *process) condemn(cause error) (left map[uint64]*call, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != nil {
		return nil, false
	}
	p.cause = cause
	close(p.dead)
	left, p.calls = p.calls, nil
	return left, true
}

// why returns the cause, or nil while the process is of use.
func (p *process) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// stop ends the process in good order: it logs out, finalizes the module and
// exits. It is killed if that takes too long. There must be no calls.
func (p *process) stop() error {
	calls, first := p.condemn(errStopped)
	for _, c := range calls {
		c.timer.Stop()
		c.done <- answer{err: &goneError{errStopped}}
	}
	if first {
		_ = p.conn.CloseWrite() // the end of the stream asks the child to end
		select {
		case <-p.reaped:
		case <-time.After(stopGrace):
			p.log.Warn("pkcs11 module's process did not end when asked and is killed", zap.Duration("after", stopGrace))
		}
		_ = p.cmd.Process.Kill()
	}
	return p.waitGone()
}

// waitGone waits until nothing of a process that was ended is left.
func (p *process) waitGone() error {
	select {
	case <-p.reaped:
	case <-time.After(killGrace):
		return fmt.Errorf("pkcs11: process %d cannot be killed: it hangs in the kernel, probably in the HSM's driver", p.cmd.Process.Pid)
	}
	_ = p.conn.Close()
	p.wg.Wait()
	return nil
}

// socketpair returns two ends of a stream, the second for a child.
func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "parent")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn.(*net.UnixConn), theirs, nil
}

// childEnv leaves out what a service manager tells the daemon alone: a module that
// took the sockets or said that the daemon is ready would be a surprise.
func childEnv(env []string) []string {
	var out []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if name == "NOTIFY_SOCKET" || strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WATCHDOG_") {
			continue
		}
		out = append(out, e)
	}
	return out
}
