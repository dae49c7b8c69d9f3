package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
)

// A wrong PIN is tried once: not by the daemon again after a restart, and not by an
// operator's commands beside it. When an operator clears the record, it is tried
// once more.
func TestPINIsClearedByAnOperator(t *testing.T) {
	tk := softhsmtest.New(t)
	pub := tk.GenerateKey("acme-shop")
	dir := initialized(t, "--key-uri", tk.URI("acme-shop"), "--public-key", writePEM(t, pub.PEM()))
	o := operatorOf{t: t, dir: dir}
	tk.WritePIN("9999-wrong-pin")
	d := startDaemon(t, dir)
	_, err := submitOnce(t, d.client, 1)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemKeyUnusable || !strings.Contains(p.Detail, "PIN") {
		t.Errorf("got %v, want that the PIN is wrong", err)
	}
	code, list, stderr := o.run("pin", "list")
	if code != 0 || !strings.Contains(list, tk.Label) || !strings.Contains(list, "1 PIN refused") || strings.Contains(list, "9999") {
		t.Fatalf("exit code %d\n%s%s", code, list, stderr)
	}
	lines := strings.Split(list, "\n")
	id := strings.Fields(lines[1])[0]
	if code, _, stderr := o.run("pin", "clear", "nothing", "--yes"); code != 2 || !strings.Contains(stderr, "there is no such record") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := o.run("pin", "clear", id); code != 2 || !strings.Contains(stderr, "found no terminal") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	d.stop()

	// The operator's commands know what the daemon was told.
	if out := o.does("list"); !strings.Contains(out, "unusable") {
		t.Errorf("list printed\n%s", out)
	}
	if _, list, _ := o.run("pin", "list"); !strings.Contains(list, "1 PIN refused") {
		t.Errorf("looking at the key gave the token the wrong PIN again:\n%s", list)
	}
	if code, out, stderr := o.run("pin", "clear", id, "--yes"); code != 0 || !strings.Contains(out, "is tried once more") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	tk.WritePIN(softhsmtest.PIN)
	d = startDaemon(t, dir)
	d.usable()
	d.signs(pub, 1)
	if _, list, _ := o.run("pin", "list"); !strings.Contains(list, "the PIN was accepted") {
		t.Errorf("list printed\n%s", list)
	}
}

// What an operator's commands leave behind must be the daemon's.
func TestKeyCommandsOfAnotherUserAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can make a state of another user
	}
	dir := initialized(t)
	state := filepath.Join(dir, "state")
	if err := os.Chown(state, 1, 1); err != nil {
		t.Fatal(err)
	}
	uri, _ := newFile(dir)
	o := operatorOf{t: t, dir: dir}
	o.fails(2, "runuser -u daemon --", "create", uri, "--name", "a", "--app", "com.acme.shop", "--yes")
	o.fails(2, "runuser -u daemon --", "attest", "acme-shop", "--out", filepath.Join(dir, "x"), "--yes")
	o.fails(1, "want uid 0 and mode 0700", "list")
	if _, err := os.Stat(strings.TrimPrefix(uri, "file:")); err == nil {
		t.Error("the key was made")
	}
}
