// Package opencryptokitest makes real opencryptoki soft tokens for tests.
//
// Each token has a daemon (pkcsslotd) of its own, in mount and IPC namespaces of
// its own: the daemon, its shared memory and its files can be found in one place
// of a system only. So tests do not disturb each other or a token that the machine
// has, and nothing is left of one that was killed. Processes that use the token
// have to be started in the namespaces, see [Token.Prefix].
package opencryptokitest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/subprocess"
)

const (
	// PIN is the user PIN of every token; the soft token allows 4 to 8 characters.
	PIN   = "51Qx-802"
	sopin = "76543210"
	// factory is the security officer's PIN of every new soft token.
	factory = "87654321"
	label   = "ock-test"
	// patience is how long the daemon may take to start.
	patience = 60 * time.Second
)

//go:embed start.sh
var script string

// Token is a soft token, initialized, with its PIN set.
type Token struct {
	provision.Token
	PINFile string // holds [PIN]; 0600
}

// New starts a daemon with one empty token.
func New(t testing.TB) *Token {
	t.Helper()
	module := findModule(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"start.sh":          script,
		"opencryptoki.conf": "version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n",
		"group":             "root:x:0:\npkcs11:x:0:root\n",
		"pin":               PIN + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Another user than root may do this in a user namespace.
	unshare, nsenter := []string{"unshare"}, []string{"nsenter"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
		nsenter = append(nsenter, "--user", "--preserve-credentials")
	}
	daemon := subprocess.Start(t, exec.Command(unshare[0], append(unshare[1:], "--mount", "--ipc", "/bin/sh", filepath.Join(dir, "start.sh"), dir)...))
	waitForSocket(t, daemon)
	tk := &Token{
		Token: provision.Token{
			Module: module, Label: label, PIN: PIN, SOPIN: sopin,
			Prefix: append(nsenter, "--target", strconv.Itoa(daemon.PID()), "--mount", "--ipc", "--"),
		},
		PINFile: filepath.Join(dir, "pin"),
	}
	tk.Init(t, factory)
	return tk
}

// findModule returns the path of the module, which distributions have in different
// places.
func findModule(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/pkcs11/libopencryptoki.so")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(found, "/usr/lib64/pkcs11/libopencryptoki.so", "/usr/lib/pkcs11/libopencryptoki.so") {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("opencryptoki is needed for this test; install it with: apt-get install opencryptoki")
	return ""
}

// waitForSocket waits until the daemon takes connections, in its own /run.
func waitForSocket(t testing.TB, daemon *subprocess.Process) {
	t.Helper()
	socket := fmt.Sprintf("/proc/%d/root/run/pkcsslotd.socket", daemon.PID())
	daemon.Wait(t, patience, "pkcsslotd to listen (it needs to be root, or a kernel that lets users have user namespaces)", func() bool {
		info, err := os.Stat(socket)
		return err == nil && info.Mode()&os.ModeSocket != 0
	})
}
