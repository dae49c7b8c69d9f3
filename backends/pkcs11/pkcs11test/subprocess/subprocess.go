// Package subprocess starts the daemons that tests of PKCS#11 need beside them:
// token daemons, servers, a bus.
//
// Its invariant is that none of them outlives the test, nor the test binary if
// that is killed.
package subprocess

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopGrace is how long a process may take to end when asked.
const stopGrace = 10 * time.Second

// Process is one that runs.
type Process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended

	mu  sync.Mutex
	out bytes.Buffer
}

// Write takes what the process writes.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output returns what the process wrote so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Start starts the command and ends it when the test ends.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, gone: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second // a process that it left behind may hold its output open
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is of no interest
			close(p.gone)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s is needed for this test: %v", cmd.Path, err)
	}
	t.Cleanup(func() { p.Stop(t) })
	return p
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process and all that it started.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.PID(), s); err != nil {
		t.Fatalf("sending %s to %s: %v", s, p.cmd.Path, err)
	}
}

// Kill ends the process and all that it started at once, and waits for its end.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	p.await(t)
}

// Stop ends the process, in good order if it can. It may have ended before.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-p.gone:
	default:
		_ = syscall.Kill(-p.PID(), syscall.SIGCONT)
		_ = syscall.Kill(-p.PID(), syscall.SIGTERM)
		select {
		case <-p.gone:
		case <-time.After(stopGrace):
		}
	}
	p.Kill(t)
}

func (p *Process) await(t testing.TB) {
	t.Helper()
	select {
	case <-p.gone:
	case <-time.After(stopGrace):
		t.Errorf("%s cannot be killed", p.cmd.Path)
	}
}

// Wait waits until ready returns true, and fails the test if the process ends
// before that or it takes too long.
func (p *Process) Wait(t testing.TB, patience time.Duration, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ready() {
		select {
		case <-tick.C:
		case <-p.gone:
			t.Fatalf("waiting for %s: %s has ended: %s\n%s", what, p.cmd.Path, p.cmd.ProcessState, p.Output())
		case <-late:
			t.Fatalf("still waiting for %s after %s\n%s", what, patience, p.Output())
		}
	}
}
