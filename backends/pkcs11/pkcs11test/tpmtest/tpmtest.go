// Package tpmtest makes tokens in a TPM for tests: tpm2-pkcs11 over tpm2-abrmd, which
// shares the TPM out among processes, over swtpm, which is a TPM in software.
//
// Each token has daemons and a message bus of its own, which go when the test ends.
// The parts are many and few machines have them all: [Missing] tells.
package tpmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/subprocess"
)

const (
	// PIN is the user PIN of every token.
	PIN   = "pin-of-a-TPM-test"
	sopin = "so-pin-of-a-TPM-test"
	label = "tpm-test"
	// patience is how long a daemon may take to start.
	patience = 60 * time.Second
)

// busConfig is a message bus on which everybody may do everything: it is in a
// directory that only this user can enter.
const busConfig = `<busconfig>
<type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// Token is a token with its PIN set.
type Token struct {
	provision.Token
	PINFile string // holds [PIN]; 0600
}

// Missing names what is not installed, or returns "".
func Missing() string {
	for command, pkg := range map[string]string{
		"swtpm": "swtpm", "tpm2-abrmd": "tpm2-abrmd", "tpm2_ptool": "libtpm2-pkcs11-tools", "dbus-daemon": "dbus-daemon",
	} {
		if _, err := exec.LookPath(command); err != nil {
			return pkg
		}
	}
	if module() == "" {
		return "libtpm2-pkcs11-1"
	}
	if found, err := filepath.Glob("/usr/lib/*/libtss2-tcti-tabrmd.so*"); err != nil || len(found) == 0 {
		return "libtss2-tcti-tabrmd0"
	}
	return ""
}

func module() string {
	found, err := filepath.Glob("/usr/lib/*/libtpm2_pkcs11.so*")
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0]
}

// New starts a TPM with one empty token and sets what its module reads from the
// environment for the test, which therefore cannot be parallel.
func New(t testing.TB) *Token {
	t.Helper()
	// A test's own directory may have too long a name for a socket in it.
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"state", "store"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"pin": PIN + "\n", "bus.conf": fmt.Sprintf(busConfig, in("bus"))} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+in("bus"))
	for _, name := range []string{"TPM2_PKCS11_TCTI", "TPM2TOOLS_TCTI"} {
		t.Setenv(name, "tabrmd:bus_type=session")
	}
	t.Setenv("TPM2_PKCS11_STORE", in("store"))

	tpm := subprocess.Start(t, exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+in("state"), "--flags", "startup-clear",
		"--ctrl", "type=unixio,path="+in("tpm.ctrl"), "--server", "type=unixio,path="+in("tpm")))
	// The server takes one connection only, which is not to be ours.
	exists(t, tpm, in("tpm.ctrl"))
	exists(t, tpm, in("tpm"))
	bus := subprocess.Start(t, exec.Command("dbus-daemon", "--nofork", "--config-file="+in("bus.conf")))
	bus.Wait(t, patience, "the bus to listen", func() bool {
		c, err := net.Dial("unix", in("bus"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	manager := subprocess.Start(t, exec.Command("tpm2-abrmd", "--session", "--allow-root", "--tcti=swtpm:path="+in("tpm")))
	ptool(t, manager, "init")
	ptool(t, manager, "addtoken", "--pid", "1", "--label", label, "--sopin", sopin, "--userpin", PIN)
	return &Token{
		Token:   provision.Token{Module: module(), Label: label, PIN: PIN, SOPIN: sopin},
		PINFile: in("pin"),
	}
}

func exists(t testing.TB, p *subprocess.Process, path string) {
	t.Helper()
	p.Wait(t, patience, path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// ptool runs the tool that makes tokens. It finds the resource manager on the bus
// some time after that was started.
func ptool(t testing.TB, manager *subprocess.Process, args ...string) {
	t.Helper()
	args = append(args, "--path", os.Getenv("TPM2_PKCS11_STORE"))
	var out []byte
	defer func() {
		if t.Failed() {
			t.Logf("tpm2_ptool %s: %s", args[0], out)
		}
	}()
	manager.Wait(t, patience, "tpm2_ptool "+args[0], func() bool {
		var err error
		out, err = exec.Command("tpm2_ptool", args...).CombinedOutput()
		return err == nil
	})
}
