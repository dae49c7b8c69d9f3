package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed is where a package puts the daemon. It need not be there now, and
// systemd would say so: the tests judge the units, not the machine.
const installed = "/usr/bin/bundlesignd"

// units are copied with the path of a program that is there, and their paths
// returned.
func units(t *testing.T) []string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"bundlesignd.service", "bundlesignd.socket"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), installed, program)), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// systemd runs one of systemd's programs, which must succeed.
func systemd(t *testing.T, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("found no %s (%v); run: apt install systemd", program, err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestUnitsVerify(t *testing.T) {
	out := systemd(t, "systemd-analyze", append([]string{"verify", "--man=no"}, units(t)...)...)
	if out != "" {
		t.Errorf("systemd-analyze verify found:\n%s", out)
	}
}

// A fault must be found, or the test above shows nothing.
func TestVerifyFindsFaults(t *testing.T) {
	paths := units(t)
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(text), "NoNewPrivileges=yes", "NoNewPriviledges=yes", 1)
	if err := os.WriteFile(paths[0], []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := systemd(t, "systemd-analyze", append([]string{"verify", "--man=no"}, paths...)...); !strings.Contains(out, "NoNewPriviledges") {
		t.Errorf("systemd-analyze verify said nothing of a misspelled setting: %q", out)
	}
}

// The sandbox may become stricter, not weaker: systemd gives points from 0.0
// (safe) to 10.0, and here they count tenfold.
func TestSandbox(t *testing.T) {
	systemd(t, "systemd-analyze", "security", "--offline=yes", "--threshold=15", units(t)[0])
}

// What the sandbox must not have, with what would break.
func TestSandboxLetsTheDaemonWork(t *testing.T) {
	text, err := os.ReadFile("bundlesignd.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	for name, why := range map[string]string{
		"PrivateUsers": "every caller would be nobody, and no rule about users would match",
		"ProtectProc":  "the units of callers could not be read, and no rule about units would match",
		"PrivatePIDs":  "callers would have no pid, and no rule about units would match",
		"DynamicUser":  "the files of the configuration must belong to a user that stays",
	} {
		if value, found := settings[name]; found {
			t.Errorf("found %s=%s: %s", name, value, why)
		}
	}
	for name, want := range map[string]string{
		"Type":                     "notify",
		"KillMode":                 "mixed", // or SIGTERM ends the modules before the daemon has drained
		"RuntimeDirectoryPreserve": "yes",   // or the socket goes away with the service
		"LimitCORE":                "0",
	} {
		if settings[name] != want {
			t.Errorf("found %s=%q, want %q", name, settings[name], want)
		}
	}
}

func TestUsersAndFolders(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	users, err := filepath.Abs("sysusers.d/bundlesignd.conf")
	if err != nil {
		t.Fatal(err)
	}
	systemd(t, "systemd-sysusers", "--root="+root, users)
	groups, err := os.ReadFile(filepath.Join(root, "etc/group"))
	if err != nil {
		t.Fatal(err)
	}
	socket, err := os.ReadFile("bundlesignd.socket")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(socket), "\nSocketGroup=bundlesign\n") || !strings.Contains(string(groups), "bundlesign:") {
		t.Errorf("the socket's group is not among those that are made:\n%s", groups)
	}
	folders, err := os.ReadFile("tmpfiles.d/bundlesignd.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(folders), " root bundlesignd ") || !strings.Contains(string(groups), "bundlesignd:") {
		t.Errorf("the configuration's group is not among those that are made:\n%s", groups)
	}
	// Only root could give the folder to others; what is left can be tried by all.
	own := filepath.Join(t.TempDir(), "own.conf")
	if err := os.WriteFile(own, []byte(strings.ReplaceAll(string(folders), " root bundlesignd ", " - - ")), 0o600); err != nil {
		t.Fatal(err)
	}
	systemd(t, "systemd-tmpfiles", "--root="+root, "--create", own)
	info, err := os.Stat(filepath.Join(root, "etc/bundlesignd"))
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() || info.Mode().Perm() != 0o750 {
		t.Errorf("made the configuration's folder with mode %v, want drwxr-x---", info.Mode())
	}
}
