package config_test

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/config"
)

// onMachine is a good configuration whose state is in its own folder.
func onMachine(t *testing.T) folder {
	t.Helper()
	f := newFolder(t)
	f.write("config.yaml", "state_dir: state\nsocket: {path: s}\n"+goodConfig, 0o644)
	f.write("policy.yaml", "rules:\n  - {name: all, effect: allow}\n", 0o644)
	f.mkdir("state", 0o700)
	return f
}

func TestThisMachine(t *testing.T) {
	me, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	repair := "install -d -m 700 -o " + me.Username + " DIR/state"
	for name, c := range map[string]struct {
		set  func(f folder)
		want []string
	}{
		"good": {func(folder) {}, nil},
		"no state": {
			func(f folder) { f.rename("state", "away") },
			[]string{"DIR/config.yaml:1:12: state_dir: found no folder DIR/state, make it: " + repair},
		},
		"a file": {
			func(f folder) { f.rename("state", "away"); f.write("state", "", 0o600) },
			[]string{"DIR/config.yaml:1:12: state_dir: found DIR/state, which is not a folder; move it away, then: " + repair},
		},
		"open to others": {
			func(f folder) { f.chmod("state", 0o701) },
			[]string{"DIR/config.yaml:1:12: state_dir: found DIR/state with mode 0701, want 0700, the daemon's alone: " + repair},
		},
		"below a file": {
			func(f folder) {
				f.write("config.yaml", "state_dir: policy.yaml/state\nsocket: {path: s}\n"+goodConfig, 0o644)
			},
			[]string{"DIR/config.yaml:1:12: state_dir: stat DIR/policy.yaml/state: not a directory; want a folder: install -d -m 700 -o " + me.Username + " DIR/policy.yaml/state"},
		},
		"unknown names": {
			func(f folder) {
				f.write("policy.yaml", "rules:\n  - name: x\n    users: [no-such-user, \"no-such-*\", "+me.Username+"]\n    groups: [no-such-group]\n    effect: deny\n", 0o644)
			},
			[]string{
				`DIR/policy.yaml:3:13: warning: rules[0].users[0]: there is no user "no-such-user" on this machine`,
				`DIR/policy.yaml:4:14: warning: rules[0].groups[0]: there is no group "no-such-group" on this machine`,
			},
		},
		"accounts and freezes of nobody": {
			func(f folder) {
				keys, err := os.ReadFile("testdata/allowed_signers")
				if err != nil {
					f.t.Fatal(err)
				}
				f.write("keys", string(keys), 0o644)
				f.write("policy.yaml", `rules:
- {name: r, users: [root], effect: approve, approvals: [{from: [g], threshold: 1}]}
people:
  allowed_signers: keys
  groups: {g: [bob]}
  accounts: {alice: {users: [root, no-such-user]}, bob: {}}
freezes: {users: [no-such-user, "x*"], groups: [no-such-group]}
`, 0o644)
			},
			[]string{
				`DIR/policy.yaml:6:36: warning: people.accounts.alice.users[1]: there is no user "no-such-user" on this machine`,
				`DIR/policy.yaml:7:19: warning: freezes.users[0]: there is no user "no-such-user" on this machine`,
				`DIR/policy.yaml:7:49: warning: freezes.groups[0]: there is no group "no-such-group" on this machine`,
			},
		},
		"no room for the socket": {
			func(f folder) {
				f.write("config.yaml", "state_dir: state\nsocket: {path: run/s}\n"+goodConfig, 0o644)
			},
			[]string{"DIR/config.yaml:2:16: warning: socket.path: NAME could not make the socket in DIR/run (no such file or directory); " +
				"have systemd make it (systemctl enable --now bundlesignd.socket), or: install -d -m 755 -o " + me.Username + " DIR/run"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := onMachine(t)
			c.set(f)
			_, found := f.load(config.Options{ThisMachine: true})
			for i, w := range c.want {
				c.want[i] = strings.Replace(w, "NAME", me.Username+" (uid "+me.Uid+")", 1)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
			if name == "no room for the socket" {
				if _, found := f.load(config.Options{ThisMachine: true, SocketPassed: true}); len(found) > 0 {
					t.Errorf("with a socket from systemd: found %q, want nothing", found)
				}
			}
			if _, found := f.load(config.Options{}); len(found) > 0 {
				t.Errorf("without looking at the machine: found %q, want nothing", found)
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	f := onMachine(t)
	f.write("key", "not looked at", 0o600)
	opts := config.Options{KeyFile: func(uri string) (string, bool) { return f.at("key"), uri == "pkcs11:object=acme-shop" }}
	if _, found := f.load(opts); len(found) > 0 {
		t.Errorf("found %q, want nothing wrong", found)
	}
	f.chmod("key", 0o640)
	_, found := f.load(opts)
	if len(found) != 1 || !strings.Contains(found[0], "keys[0].uri: found DIR/key readable by its group (mode 0640)") {
		t.Errorf("found %q, want its mode", found)
	}
	f.rename("key", "away")
	_, found = f.load(opts)
	if len(found) != 1 || !strings.Contains(found[0], "keys[0].uri: found no file DIR/key") {
		t.Errorf("found %q, want it missed", found)
	}
	f.link("away", "key")
	_, found = f.load(opts)
	if len(found) != 1 || !strings.Contains(found[0], "keys[0].uri: found DIR/key, which is a symbolic link") {
		t.Errorf("found %q, want the link", found)
	}
}
