package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// withToken starts a daemon whose key is in a SoftHSM token, with all the time
// in the world for one operation.
func withToken(t *testing.T) *process {
	t.Helper()
	tk := softhsmtest.New(t)
	pub := tk.GenerateKey("acme-shop")
	dir := initialized(t, "--key-uri", tk.URI("acme-shop"), "--public-key", writePEM(t, pub.PEM()))
	edit(t, dir, "timeout: 10s", "timeout: 5m")
	d := startDaemon(t, dir)
	d.usable()
	return d
}

// module returns the process in which the daemon runs the PKCS#11 module.
func (d *process) module() int {
	d.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	var children []string
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a thread may end
			d.t.Fatal(err)
		}
		children = append(children, strings.Fields(string(text))...)
	}
	if len(children) != 1 {
		d.t.Fatalf("the daemon has the child processes %v, want one", children)
	}
	pid, err := strconv.Atoi(children[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return pid
}

// freeze stops a process in the middle of whatever it does, as an HSM does that
// hangs.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// accepted waits until a request is authorized and returns it.
func (d *process) accepted() *wire.Signature {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		list, err := d.client.Signatures(d.t.Context(), client.ListFilter{State: client.StateAuthorized})
		if err != nil {
			d.t.Fatal(err)
		}
		if len(list.Signatures) == 1 {
			return &list.Signatures[0]
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the request is not accepted: %+v\n%s", list, d.log)
		}
	}
}

// answer is what a client got.
type answer struct {
	sig *wire.Signature
	err error
}

// A request that is being signed when SIGTERM comes is signed, and its client,
// who waits on the same connection, is told so before the daemon ends.
func TestStopAnswersWhoWaits(t *testing.T) {
	d := withToken(t)
	module := d.module()
	freeze(t, module)
	answered := make(chan answer, 1)
	go func() {
		sig, err := submitOnce(t, d.client, 1) // without any retry
		answered <- answer{sig, err}
	}()
	id := d.accepted().ID
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.says(`"msg":"stopping"`)
	select {
	case a := <-answered:
		t.Fatalf("answered while the key could not sign: %+v, %v", a.sig, a.err)
	case err := <-d.ended:
		d.ended <- err
		t.Fatalf("the daemon ended with a request in its hands: %v\n%s", err, d.log)
	default:
	}
	if err := unix.Kill(module, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.exits(0)
	a := <-answered
	if a.err != nil || a.sig.ID != id || a.sig.State != client.StateSigned || a.sig.Log == nil {
		t.Errorf("the client that waited got %+v, %v, want its signature", a.sig, a.err)
	}
}

// With the key away for longer than a stop may take, the request stays
// authorized, and the next start signs it without being asked.
func TestStopKeepsWhatCannotBeSigned(t *testing.T) {
	d := withToken(t)
	freeze(t, d.module())
	answered := make(chan answer, 1)
	go func() {
		sig, err := submitOnce(t, d.client, 1)
		answered <- answer{sig, err}
	}()
	id := d.accepted().ID
	d.stop()
	if a := <-answered; a.sig != nil && a.sig.State != client.StateAuthorized {
		t.Errorf("the client that waited got %+v, want nothing or that it is authorized", a.sig)
	}

	cfg, _, err := config.Load(filepath.Join(d.dir, "config.yaml"), config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		t.Fatal(err)
	}
	state, err := openState(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := state.store.Request(t.Context(), id)
	if err := errors.Join(err, state.store.Close()); err != nil {
		t.Fatal(err)
	}
	if kept.State != signer.Authorized {
		t.Errorf("after the stop it is %s, want authorized", kept.State)
	}

	next := startDaemon(t, d.dir)
	sig, err := next.client.Wait(t.Context(), id)
	if err != nil || sig.State != client.StateSigned {
		t.Errorf("the next start made of it %+v, %v, want it signed", sig, err)
	}
}
