// Package softhsmtest makes real SoftHSM2 tokens for tests.
//
// SoftHSM finds its tokens through the environment (SOFTHSM2_CONF), which [New]
// sets for the test: a child process that the test starts inherits it. Keys
// are made in the test's own process, by initializing the module, making the
// key and finalizing it, one such visit at a time. A test that uses the module
// in its own process for other things must have done with this package first.
package softhsmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	modulePath = "/usr/lib/softhsm/libsofthsm2.so"

	// PIN is the user PIN of every token, SOPIN that of its security officer.
	PIN   = "7319-pin-of-test"
	SOPIN = "security-officer-of-test"
)

// Token is a token in a directory of its own, which goes when the test ends.
type Token struct {
	ModulePath string
	ConfPath   string // what SOFTHSM2_CONF names
	TokenDir   string // where the token's objects are
	Label      string
	PINFile    string // holds [PIN]; 0600

	t testing.TB
}

// New makes a token labelled "test" and sets SOFTHSM2_CONF for the test, which
// therefore cannot be parallel. It fails the test if SoftHSM2 is not installed.
func New(t testing.TB) *Token {
	t.Helper()
	for _, path := range []string{modulePath, "/usr/bin/softhsm2-util"} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("SoftHSM2 is needed for this test: %v; install it with: apt-get install softhsm2", err)
		}
	}
	dir := t.TempDir()
	tk := &Token{
		ModulePath: modulePath,
		ConfPath:   filepath.Join(dir, "softhsm2.conf"),
		TokenDir:   filepath.Join(dir, "tokens"),
		Label:      "test",
		PINFile:    filepath.Join(dir, "pin"),
		t:          t,
	}
	must(t, os.Mkdir(tk.TokenDir, 0o700))
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n", tk.TokenDir)
	must(t, os.WriteFile(tk.ConfPath, []byte(conf), 0o600))
	must(t, os.WriteFile(tk.PINFile, []byte(PIN+"\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", tk.ConfPath)
	tk.Init(tk.Label)
	return tk
}

// Init makes one more token, beside the first and with the same PINs.
func (tk *Token) Init(label string) {
	tk.t.Helper()
	tk.util("--init-token", "--free", "--label", label, "--so-pin", SOPIN, "--pin", PIN)
}

// Env is what a process started by other means than inheritance needs.
func (tk *Token) Env() []string { return []string{"SOFTHSM2_CONF=" + tk.ConfPath} }

// URI returns the PKCS#11 URI of the private key with this label, PIN file
// included. The label must need no escaping.
func (tk *Token) URI(object string) string {
	return fmt.Sprintf("pkcs11:token=%s;object=%s;type=private?module-path=%s&pin-source=%s", tk.Label, object, tk.ModulePath, tk.PINFile)
}

// WritePIN replaces what is in the PIN file.
func (tk *Token) WritePIN(pin string) {
	tk.t.Helper()
	must(tk.t, os.WriteFile(tk.PINFile, []byte(pin+"\n"), 0o600))
}

// Hide takes the tokens away, as if the HSM had been unplugged, until the function
// that it returns is called. A process that has the token open may not notice.
func (tk *Token) Hide() (show func()) {
	tk.t.Helper()
	hidden := tk.TokenDir + ".hidden"
	must(tk.t, os.Rename(tk.TokenDir, hidden))
	must(tk.t, os.Mkdir(tk.TokenDir, 0o700))
	return func() {
		tk.t.Helper()
		// SoftHSM may have written a lock file meanwhile.
		must(tk.t, os.RemoveAll(tk.TokenDir))
		must(tk.t, os.Rename(hidden, tk.TokenDir))
	}
}

// util runs softhsm2-util. Its PINs are in the argument list, where other users can
// see them: good enough for a token that lives for one test.
func (tk *Token) util(args ...string) {
	tk.t.Helper()
	cmd := exec.Command("softhsm2-util", args...)
	cmd.Env = append(os.Environ(), tk.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		tk.t.Fatalf("softhsm2-util %s: %v\n%s", args[0], err, strings.TrimSpace(string(out)))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
