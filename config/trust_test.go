package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/config"
)

// stranger gives a file to somebody else and returns the user who does not
// trust it: root can give files away, another user must be taken for a third.
func stranger(t *testing.T, path string) (opts config.Options, owner string) {
	t.Helper()
	uid := os.Geteuid()
	if uid == 0 {
		if err := os.Lchown(path, 54321, -1); err != nil {
			t.Fatal(err)
		}
		return config.Options{}, "uid 54321"
	}
	uid++
	return config.Options{UID: &uid}, ""
}

func TestOwners(t *testing.T) {
	for _, name := range []string{"config.yaml", "policy.yaml", "k.pub.pem", "log.key", "."} {
		f := newFolder(t)
		opts, owner := stranger(t, f.at(name))
		_, found := f.load(opts)
		want := "found " + filepath.Join("DIR", name) + " owned by " + owner
		if all := strings.Join(found, "\n"); !strings.Contains(all, want) || !strings.Contains(all, "want root") || !strings.Contains(all, "chown root "+filepath.Join("DIR", name)) {
			t.Errorf("%s of a stranger: found %q, want %q and what to do", name, found, want)
		}
	}
}

// TestDaemonsOwnFiles: what belongs to the user of the daemon is believed.
func TestDaemonsOwnFiles(t *testing.T) {
	f := newFolder(t)
	uid := os.Geteuid()
	if uid == 0 {
		uid = 54321
		for _, name := range []string{"config.yaml", "policy.yaml", "k.pub.pem", "log.key", "."} {
			if err := os.Chown(f.at(name), uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, found := f.load(config.Options{UID: &uid}); len(found) > 0 {
		t.Errorf("found %q, want nothing wrong", found)
	}
}

func TestPermissions(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		place string
		want  string
	}{
		{"config.yaml", 0o664, "", "writable by its group (mode 0664), want it writable by its owner alone: chmod go-w DIR/config.yaml"},
		{"config.yaml", 0o606, "", "writable by others (mode 0606), want it writable by its owner alone: chmod go-w DIR/config.yaml"},
		{"policy.yaml", 0o666, ":1:1: policy", "writable by its group and others (mode 0666), want it writable by its owner alone: chmod go-w DIR/policy.yaml"},
		{"k.pub.pem", 0o620, ":4:17: keys[0].public_key", "writable by its group (mode 0620), want it writable by its owner alone: chmod go-w DIR/k.pub.pem"},
		{"log.key", 0o640, ":7:3: log.key", "readable by its group (mode 0640), want it readable by its owner alone: chmod go-rwx DIR/log.key, and make a new key if others may have read it"},
		{"log.key", 0o604, ":7:3: log.key", "readable by others (mode 0604), want it readable by its owner alone: chmod go-rwx DIR/log.key, and make a new key if others may have read it"},
		{".", 0o775, "", "writable by its group (mode 0775), want it writable by its owner alone: chmod go-w DIR"},
		{".", os.ModeSticky | 0o777, "", "writable by its group and others (mode 1777), want it writable by its owner alone: chmod go-w DIR"},
	} {
		f := newFolder(t)
		f.chmod(c.name, c.mode)
		_, found := f.load(config.Options{})
		want := []string{"DIR/config.yaml" + c.place + ": found " + filepath.Join("DIR", c.name) + " " + c.want}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%s with mode %v (-want +found)\n%s", c.name, c.mode, diff)
		}
	}
}

// TestDoubtsDoNotHideFaults: a file that is not believed is read all the same,
// so that everything wrong is said at once.
func TestDoubtsDoNotHideFaults(t *testing.T) {
	f := newFolder(t)
	f.write("config.yaml", goodConfig+"polcy: x\n", 0o666)
	_, found := f.load(config.Options{})
	if len(found) != 2 || !strings.Contains(found[0], "writable by") || !strings.Contains(found[1], "did you mean policy") {
		t.Errorf("found %q, want the permissions and the field", found)
	}
}

func TestLinks(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(f folder)
		want []string
	}{
		"to a folder that is good, by way of another link": {
			set: func(f folder) {
				f.mkdir("real", 0o755)
				f.rename("config.yaml", "real/c.yaml")
				f.link("real/c.yaml", "first")
				f.link(f.at("first"), "config.yaml")
			},
		},
		"to a folder that others can write": {
			set: func(f folder) {
				f.mkdir("open", 0o777)
				f.rename("log.key", "open/log.key")
				f.link("open/log.key", "log.key")
			},
			want: []string{`DIR/config.yaml:7:3: log.key: found DIR/open writable by its group and others (mode 0777), want it writable by its owner alone: chmod go-w DIR/open`},
		},
		"up from a folder that is a link itself": {
			set: func(f folder) {
				// Read as text, policies/../policy.yaml is the file beside config.yaml;
				// the system finds the one in a.
				f.mkdir("a", 0o755)
				f.mkdir("a/b", 0o755)
				f.link("a/b", "policies")
				f.write("a/policy.yaml", "rules: []\n", 0o644)
				f.rename("policy.yaml", "other.yaml")
				f.link("policies/../policy.yaml", "policy.yaml")
			},
			want: []string{`DIR/policy.yaml:1:8: warning: rules: found no rules: every request is denied`},
		},
		"in a circle": {
			set: func(f folder) {
				f.rename("policy.yaml", "away")
				f.link("p2", "policy.yaml")
				f.link("policy.yaml", "p2")
			},
			want: []string{`DIR/config.yaml:1:1: policy: found more than 40 symbolic links one after the other at DIR/policy.yaml, want a file`},
		},
		"to nowhere": {
			set: func(f folder) {
				f.rename("policy.yaml", "away")
				f.link("nowhere.yaml", "policy.yaml")
			},
			want: []string{`DIR/config.yaml:1:1: policy: found no file DIR/nowhere.yaml`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			c.set(f)
			_, found := f.load(config.Options{})
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
		})
	}
}

func TestNotFiles(t *testing.T) {
	f := newFolder(t)
	f.rename("policy.yaml", "away")
	f.mkdir("policy.yaml", 0o755)
	f.rename("k.pub.pem", "away2")
	if err := syscall.Mkfifo(f.at("k.pub.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.write("log.key", strings.Repeat("x", 20000), 0o600)
	_, found := f.load(config.Options{})
	want := []string{
		`DIR/config.yaml:1:1: policy: found DIR/policy.yaml, which is a folder, want a file`,
		`DIR/config.yaml:4:17: keys[0].public_key: found DIR/k.pub.pem, which is a named pipe, want a file`,
		`DIR/config.yaml:7:3: log.key: found DIR/log.key with 20000 bytes, want at most 16384`,
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}

func TestLargeFiles(t *testing.T) {
	f := newFolder(t)
	f.write("config.yaml", goodConfig+strings.Repeat("#", 1<<20-len(goodConfig)), 0o644)
	if _, found := f.load(config.Options{}); len(found) > 0 {
		t.Errorf("1 MiB: found %q, want nothing wrong", found)
	}
	f.write("config.yaml", goodConfig+strings.Repeat("#", 1<<20-len(goodConfig)+1), 0o644)
	_, found := f.load(config.Options{})
	if diff := cmp.Diff([]string{`DIR/config.yaml: found DIR/config.yaml with 1048577 bytes, want at most 1048576`}, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
	// A file without a size, as those of /proc, is bounded too.
	_, _, err := config.LoadPolicy("/dev/zero", config.Options{})
	if err == nil || !strings.Contains(err.Error(), "which is a device, want a file") {
		t.Errorf("found %v, want a device refused", err)
	}
}
