package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/signer"
)

// commandTimeout is how long a program may take to print a PIN.
const commandTimeout = 10 * time.Second

// runPINCommand runs a program and returns what it prints. There is no shell, no
// argument, no input, and hardly an environment. What it writes to its standard
// error is not kept: nobody knows what is in it.
func runPINCommand(ctx context.Context, program, credentialsDir string) ([]byte, error) {
	program, err := checkProgram(program)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	out := &pinOutput{}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	// A program that decrypts may keep what it needs for that in a credential.
	if credentialsDir != "" {
		cmd.Env = append(cmd.Env, "CREDENTIALS_DIRECTORY="+credentialsDir)
	}
	cmd.Dir = "/"
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The whole group: a script is killed together with what it runs.
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	done := make(chan error)
	go func() {
		// The death signal is sent when the thread ends that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- cmd.Run()
	}()
	err = <-done
	if cmd.Process != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it has left behind
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		err = ctx.Err()
	case ctx.Err() != nil:
		err = fmt.Errorf("it took longer than %s", commandTimeout)
	case out.tooLong:
		err = fmt.Errorf("it printed more than %d bytes", maxPIN+1)
	}
	if err != nil {
		out.clear()
		return nil, fmt.Errorf("%w: pkcs11: the program that prints the PIN, %s: %w", signer.ErrUnavailable, program, err)
	}
	return out.take(), nil
}

// pinOutput takes at most a PIN and the end of a line.
type pinOutput struct {
	buf     [maxPIN + 1]byte
	n       int
	tooLong bool
}

// Write implements [io.Writer].
func (o *pinOutput) Write(b []byte) (int, error) {
	n := copy(o.buf[o.n:], b)
	o.n += n
	if n < len(b) {
		o.tooLong = true
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (o *pinOutput) clear() { clear(o.buf[:]) }

func (o *pinOutput) take() []byte {
	defer o.clear()
	return bytes.Clone(o.buf[:o.n])
}

// checkProgram refuses a program that somebody else than root or this user could
// have put there, and returns its path without symbolic links.
func checkProgram(path string) (string, error) {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: pkcs11: the program that prints the PIN: %w", signer.ErrKeyUnusable, fmt.Errorf(format, args...))
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%w: pkcs11: the program that prints the PIN: %w", signer.ErrUnavailable, err)
	}
	for at := resolved; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			return "", fmt.Errorf("%w: pkcs11: the program that prints the PIN: lstat %s: %w", signer.ErrUnavailable, at, err)
		}
		if euid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != euid {
			return "", refused("%s belongs to uid %d, want root or uid %d (this process): whoever owns it can change it", at, st.Uid, euid)
		}
		// In a directory with the sticky bit, such as /tmp, others cannot replace
		// what is not theirs.
		sticky := st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
		if st.Mode&0o022 != 0 && !sticky {
			return "", refused("%s has permissions %04o: others may write to it; run chmod go-w %s", at, st.Mode&0o7777, at)
		}
		if at == resolved && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0) {
			return "", refused("%s is not a program: %w", at, errors.New("want a file that may be executed"))
		}
		if at == "/" {
			return resolved, nil
		}
	}
}
