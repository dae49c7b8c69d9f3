package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A daemon on another machine is reached through the user's own ssh, as the docker
// command reaches its daemon (cli/connhelper): one process for each connection,
// whose standard input and output are the connection, and at whose other end
// "bundlesign dial-stdio" speaks to the Unix socket. Who may log in, which host key
// is the right one and which way leads there is ssh's business and stays in its
// configuration; a ControlMaster there makes further connections cheap. The daemon
// sees the user as whom ssh logs in.

const (
	// sshConnectTimeout is how long ssh may take until the hosts have agreed on keys,
	// in seconds. It is less than a caller waits, who then learns why.
	sshConnectTimeout = "15"
	// sshGrace is how long ssh may take to end by itself.
	sshGrace = time.Second
	// maxSSHStderr is how much is kept of the last that ssh has said, in bytes.
	maxSSHStderr = 8 << 10
)

// sshArgs are the arguments of the ssh program. The options keep what a user's
// configuration may ask for other connections to that host out of this one: above
// all the agent of somebody who approves is not for the daemon's machine. As there
// is "--", no host can be taken for an option; see [parseSSH] for what they may be.
func (t *sshTarget) sshArgs() []string {
	args := []string{
		"-T", "-x",
		"-o", "ConnectTimeout=" + sshConnectTimeout,
		"-o", "ForwardAgent=no",
		"-o", "PermitLocalCommand=no",
		"-o", "ClearAllForwardings=yes",
		"-o", "RemoteCommand=none",
	}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	if t.port != "" {
		args = append(args, "-p", t.port)
	}
	remote := "bundlesign dial-stdio"
	if t.path != "" {
		remote += " --socket '" + t.path + "'" // nothing in it ends the quotation
	}
	return append(args, "--", t.host, remote)
}

// sshConn is a connection through an ssh process. Reads and writes fail with an
// [*UnreachableError] if ssh did not get through.
type sshConn struct {
	address  string
	in       *os.File // ssh's standard input
	out      *os.File // and output
	cmd      *exec.Cmd
	stderr   lastBytes
	answered atomic.Bool   // the daemon's first bytes were here
	ended    chan struct{} // closed once the process is gone, and waited for
	close    sync.Once
}

var _ net.Conn = (*sshConn)(nil)

// dialSSH starts ssh. It returns at once: whether the daemon is there is known
// with the first answer. The connection outlives ctx, and ends with Close.
func dialSSH(ctx context.Context, t *sshTarget) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, &UnreachableError{Socket: t.String(), Reason: NoSSH, Err: err}
	}
	toSSH, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting ssh: %w", err)
	}
	out, fromSSH, err := os.Pipe()
	if err != nil {
		_, _ = toSSH.Close(), in.Close()
		return nil, fmt.Errorf("starting ssh: %w", err)
	}
	c := &sshConn{address: t.String(), in: in, out: out, ended: make(chan struct{})}
	c.cmd = exec.Command(program, t.sshArgs()...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = toSSH, fromSSH, &c.stderr
	// In a session of its own it has no terminal: it is not interrupted along with its
	// caller, who may have something left to say to the daemon, and it cannot ask a
	// person for a secret on behalf of a host that a file in a repository has named.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// A ControlMaster that stays behind may hold on to stderr.
	c.cmd.WaitDelay = sshGrace
	err = c.cmd.Start()
	_, _ = toSSH.Close(), fromSSH.Close() // the process has its own
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, &UnreachableError{Socket: c.address, Reason: SSHFailed, Detail: err.Error(), Err: err}
	}
	go func() {
		_ = c.cmd.Wait() // the state says how it ended
		close(c.ended)
	}()
	return c, nil
}

func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if n > 0 && !c.answered.Load() {
		const begin = "HTTP/"
		if head := p[:min(n, len(begin))]; !strings.HasPrefix(begin, string(head)) {
			return 0, &UnreachableError{
				Socket: c.address, Reason: OtherReason,
				Detail: fmt.Sprintf("found %s instead of an answer: does a start-up file of the shell there print something?", quote(string(p[:min(n, 60)]))),
			}
		}
		c.answered.Store(true)
	}
	if err == io.EOF {
		return n, c.failure(err)
	}
	return n, err
}

func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil {
		err = c.failure(err)
	}
	return n, err
}

// failure says why ssh has ended or, if it did what it was to do, returns err.
func (c *sshConn) failure(err error) error {
	timer := time.NewTimer(2 * sshGrace)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		return err // it lives: the other side has closed the connection
	}
	if gone := sshFailure(c.address, c.stderr.String(), c.cmd.ProcessState.ExitCode(), c.answered.Load()); gone != nil {
		gone.Err = err
		return gone
	}
	return err
}

// Close ends the connection and the process, and returns when that is gone. A
// process that is still on its way to the daemon is killed at once; another may end
// in good order, which a ControlMaster needs.
func (c *sshConn) Close() error {
	err := os.ErrClosed
	c.close.Do(func() {
		err = c.in.Close()
		if c.answered.Load() {
			timer := time.NewTimer(sshGrace)
			select {
			case <-c.ended:
			case <-timer.C:
			}
			timer.Stop()
		}
		_ = c.cmd.Process.Kill() // fails if it has ended
		<-c.ended
		_ = c.out.Close() // only read from
	})
	return err
}

func (c *sshConn) LocalAddr() net.Addr                { return sshAddr(c.address) }
func (c *sshConn) RemoteAddr() net.Addr               { return sshAddr(c.address) }
func (c *sshConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *sshConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

func (c *sshConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

type sshAddr string

func (sshAddr) Network() string  { return "ssh" }
func (a sshAddr) String() string { return string(a) }

// lastBytes keeps the last [maxSSHStderr] bytes that are written to it.
type lastBytes struct {
	mu   sync.Mutex
	last []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p[max(0, len(p)-maxSSHStderr):]...)
	l.last = append([]byte(nil), l.last[max(0, len(l.last)-maxSSHStderr):]...)
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}
