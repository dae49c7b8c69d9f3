package pkcs11_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// TestDiesWithTheDaemon kills a daemon. A real child ends even if it was frozen; one
// that goes on without its connection is ended by the kernel.
func TestDiesWithTheDaemon(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	t.Run("real child, frozen", func(t *testing.T) {
		d := startDaemon(t, tk, childArg)
		// A signal to everybody, as from a service manager, leaves the child alone.
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			if err := syscall.Kill(d.child, s); err != nil {
				t.Fatal(err)
			}
		}
		d.sign()
		if err := syscall.Kill(d.child, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		d.kill()
	})
	t.Run("hostile child that stays", func(t *testing.T) {
		startDaemon(t, tk, fakeArg, "stays").kill()
	})
}

// recordsEnv tells a daemon where to record attempts to log in.
const recordsEnv = "BUNDLESIGN_TEST_PIN_RECORDS"

// TestKilledInTheMiddleOfALogin kills a daemon, again and again, after the token has
// judged the PIN and before anybody knows how. With a wrong PIN that costs one
// attempt; with one that the token took before, it costs nothing.
func TestKilledInTheMiddleOfALogin(t *testing.T) {
	for name, test := range map[string]struct {
		pin        string
		goodBefore bool
		wantLogins int
	}{
		"wrong PIN":                  {"not-the-pin", false, 1},
		"wrong PIN after a good one": {"not-the-pin", true, 1},
		"good PIN":                   {softhsmtest.PIN, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaultRig(t)
			cfg := f.recorded(t)
			t.Setenv(recordsEnv, cfg.PINRecords)
			if test.goodBefore {
				if err := f.life(t, cfg); err != nil {
					t.Fatal(err)
				}
			}
			if test.pin != softhsmtest.PIN {
				f.token.WritePIN(test.pin)
			}
			before := f.fake.Calls("C_Login")
			logins := func() int { return f.fake.Calls("C_Login") - before }
			f.fake.Inject(faultmodule.Fault{Function: "C_Login", Action: faultmodule.Hang, Late: true})
			for n := range test.wantLogins {
				argv := self(t, daemonArg, f.fake.Path(), f.token.Label, f.token.PINFile, "acme", childArg)
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Stdin = strings.NewReader("sign\n")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the token has judged the PIN", func() bool { return f.fake.Hanging("C_Login") > n })
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
			}
			f.fake.Heal()
			for range 3 {
				err := f.life(t, cfg)
				if test.pin == softhsmtest.PIN {
					if err != nil {
						t.Errorf("with a good PIN: %v", err)
					}
					continue
				}
				wantError(t, err, signer.ErrKeyUnusable, "run: bundlesignd pin clear ")
				if n := logins(); n != test.wantLogins {
					t.Errorf("the token was given the wrong PIN %d times, want %d", n, test.wantLogins)
				}
			}
			all, err := pinrecord.List(cfg.PINRecords)
			if err != nil || len(all) != 1 || all[0].Clean() != (test.pin == softhsmtest.PIN) {
				t.Fatalf("recorded: %+v, %v", all, err)
			}
			f.token.WritePIN(softhsmtest.PIN)
			if err := f.life(t, cfg); err != nil {
				t.Errorf("with the right PIN: %v", err)
			}
		})
	}
}

// daemon is a process with a module, and the module's child.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	child  int
}

func startDaemon(t *testing.T, tk *softhsmtest.Token, childArgs ...string) *daemon {
	t.Helper()
	argv := self(t, append([]string{daemonArg, tk.ModulePath, tk.Label, tk.PINFile, "acme"}, childArgs...)...)
	d := &daemon{t: t, cmd: exec.Command(argv[0], argv[1:]...)}
	d.cmd.Stderr = os.Stderr
	var err error
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(stdout)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.child = d.sign()
	return d
}

// sign has the daemon sign and returns the process id of its child.
func (d *daemon) sign() int {
	d.t.Helper()
	if _, err := io.WriteString(d.stdin, "sign\n"); err != nil {
		d.t.Fatal(err)
	}
	line, err := d.stdout.ReadString('\n')
	if err != nil {
		d.t.Fatalf("the daemon did not sign: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		d.t.Fatal(err)
	}
	if d.child != 0 && pid != d.child {
		d.t.Errorf("the child is process %d now, was %d", pid, d.child)
	}
	return pid
}

// kill kills the daemon and waits for the end of its child.
func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
	_ = d.stdin.Close()
	defer func() {
		if running(d.child) {
			_ = syscall.Kill(d.child, syscall.SIGKILL)
		}
	}()
	eventually(d.t, "the child is gone", func() bool { return !running(d.child) })
}

// running reports whether there is such a process that is not a zombie: nobody
// may be there to reap an orphan.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// daemonToBeKilled signs for each line that it reads and prints its child's process
// id.
func daemonToBeKilled(args []string) int {
	exe, err := os.Executable()
	if err != nil {
		return 1
	}
	core, logs := observer.New(zapcore.InfoLevel)
	m := pkcs11.NewModule(pkcs11.Config{
		ModulePath:   args[0],
		Token:        uri.Token{Label: args[1]},
		PIN:          uri.PINSource{Path: args[2]},
		PINRecords:   os.Getenv(recordsEnv),
		ChildCommand: append([]string{exe}, args[4:]...),
		Logger:       zap.New(core),
	})
	k := m.Key(pkcs11.KeyOptions{Object: args[3]})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if _, err := k.Sign(context.Background(), []capgo.Payload{capgo.SessionKeyPayload()}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		all := logs.FilterMessage(opened).All()
		fmt.Println(all[len(all)-1].ContextMap()["pid"])
	}
	return 0
}
