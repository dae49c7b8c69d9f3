package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// theDaemon is a user without any rights that every Debian has.
const theDaemon = "daemon"

// givenAway makes a configuration under the strictest umask and gives it to
// [theDaemon] by the command that init prints. Only root can.
func givenAway(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "c")
	// The folders of a test are for its user alone.
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := bundlesignd("init", "--dir", dir, "--app", "com.acme.shop", "--origin", "example.com/test", "--user", me(t))
	cmd.Args = append([]string{"sh", "-c", `umask 077; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	chown := strings.Replace(command(t, string(out), "chown"), "USER", theDaemon, 1)
	if out, err := exec.Command("sh", "-c", chown).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", chown, err, out)
	}
	return dir
}

// What init made under any umask, and gave away as it says, is good for the
// daemon's user, and every file that the user cannot read is named.
func TestConfigCheckAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		code, _, stderr := runHere(t, "config", "check", "--user", "root", "--config", filepath.Join(initialized(t), "config.yaml"))
		if code != exitUsage || !strings.Contains(stderr, "only root can tell what root may read") {
			t.Errorf("exit code %d, %q, want it refused", code, stderr)
		}
		return
	}
	for name, c := range map[string]struct {
		spoil string // a shell command, run in the folder
		want  string // in the finding; "": it is good
	}{
		"as init says":        {"true", ""},
		"config.yaml":         {"chmod 600 config.yaml", "config.yaml, which daemon (uid 1) may not read: chmod a+r DIR/config.yaml"},
		"policy.yaml":         {"chmod 600 policy.yaml", "policy: found DIR/policy.yaml, which daemon (uid 1) may not read: chmod a+r DIR/policy.yaml"},
		"the pin":             {"chmod 600 acme-shop.pub.pem", "keys[0].public_key: found DIR/acme-shop.pub.pem, which daemon (uid 1) may not read: chmod a+r"},
		"the log key":         {"chown root log.key", "log.key: found DIR/log.key, which daemon (uid 1) may not read: chown daemon DIR/log.key"},
		"the private key":     {"chown root acme-shop.key.pem", "keys[0].uri: found DIR/acme-shop.key.pem, which daemon (uid 1) may not read: chown daemon DIR/acme-shop.key.pem"},
		"a linked key":        {"mv acme-shop.key.pem k; ln -s k acme-shop.key.pem", "keys[0].uri: found DIR/acme-shop.key.pem, which is a symbolic link"},
		"the folder":          {"chmod 700 .", "found DIR, through which daemon (uid 1) may not go to DIR/config.yaml: chmod a+x DIR"},
		"by its group":        {"chgrp daemon . config.yaml; chmod 750 .; chmod 640 config.yaml", ""},
		"for root's group":    {"chmod 640 config.yaml", "config.yaml, which daemon (uid 1) may not read: chmod a+r DIR/config.yaml"},
		"no state":            {"rmdir state", "state_dir: found no folder DIR/state, make it: install -d -m 700 -o daemon DIR/state"},
		"root's state":        {"chown root state", "state_dir: found DIR/state owned by root (uid 0), want daemon (uid 1), as whom the daemon runs: install -d -m 700 -o daemon DIR/state"},
		"a state for all":     {"chmod 750 state", "state_dir: found DIR/state with mode 0750, want 0700, the daemon's alone: install -d -m 700 -o daemon DIR/state"},
		"a state for nobody":  {"chmod 500 state", "state_dir: found DIR/state, which daemon (uid 1) may not write (permission denied)"},
		"a file as state":     {"rmdir state; touch state", "state_dir: found DIR/state, which is not a folder; move it away, then: install -d -m 700 -o daemon DIR/state"},
		"root's database":     {"touch state/bundlesignd.db; chmod 600 state/bundlesignd.db", "state_dir: found DIR/state/bundlesignd.db, which daemon (uid 1) may not read and write: chown -R daemon DIR/state"},
		"the state is hidden": {"mkdir -m 700 x; mv state x/; sed -i 's|^state_dir: .*|state_dir: x/state|' config.yaml", "state_dir: found DIR/x, through which daemon (uid 1) may not go to DIR/x/state: chmod a+x DIR/x"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := givenAway(t)
			spoil := exec.Command("sh", "-euc", c.spoil)
			spoil.Dir = dir
			if out, err := spoil.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			code, stdout, stderr := runHere(t, "config", "check", "--user", theDaemon, "--config", filepath.Join(dir, "config.yaml"))
			if c.want == "" {
				if code != exitOK || !strings.Contains(stdout, "is good.") {
					t.Errorf("exit code %d, %q, want nothing wrong", code, stderr)
				}
			} else if want := strings.ReplaceAll(c.want, "DIR", dir); code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("exit code %d, stdout %q, stderr\n%swant\n%s", code, stdout, stderr, want)
			}
		})
	}
	// Whoever checked is who he was.
	if f, err := os.Open("/etc/shadow"); err != nil {
		t.Errorf("root cannot read what root may: %v", err)
	} else {
		f.Close()
	}
}

// A socket that the daemon cannot make is a warning: systemd may make it.
func TestConfigCheckWarnsOfTheSocket(t *testing.T) {
	dir := initialized(t)
	edit(t, dir, "path: bundlesignd.sock", "path: nowhere/bundlesignd.sock")
	code, _, stderr := runHere(t, "config", "check", "--config", filepath.Join(dir, "config.yaml"))
	if code != exitOK {
		t.Errorf("exit code %d, %q, want a warning alone", code, stderr)
	}
	for _, want := range []string{"warning: socket.path: ", dir + "/nowhere (no such file", "systemctl enable --now bundlesignd.socket", "install -d -m 755 -o " + me(t) + " " + dir + "/nowhere"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("found %q, want %q in it", stderr, want)
		}
	}
	if os.Geteuid() == 0 {
		// There, but root's.
		dir := givenAway(t)
		code, _, stderr := runHere(t, "config", "check", "--user", theDaemon, "--config", filepath.Join(dir, "config.yaml"))
		if code != exitOK || !strings.Contains(stderr, "socket.path: daemon (uid 1) could not make the socket in "+dir+" (permission denied)") {
			t.Errorf("exit code %d, %q, want the warning", code, stderr)
		}
	}
}

// Names that nobody has on this machine are warnings, patterns are not.
func TestConfigCheckWarnsOfUnknownNames(t *testing.T) {
	dir := initialized(t)
	path := filepath.Join(dir, "policy.yaml")
	replace(t, path, "users: ["+me(t)+"]", "users: [no-such-user, \"no-such-*\", "+me(t)+"]\n    groups: [no-such-group]")
	code, _, stderr := runHere(t, "config", "check", "--config", filepath.Join(dir, "config.yaml"))
	if code != exitOK || strings.Count(stderr, "\n") != 2 ||
		!strings.Contains(stderr, `warning: rules[0].users[0]: there is no user "no-such-user" on this machine`) ||
		!strings.Contains(stderr, `warning: rules[0].groups[0]: there is no group "no-such-group" on this machine`) {
		t.Errorf("exit code %d, %q, want two warnings", code, stderr)
	}
}
