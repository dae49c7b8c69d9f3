// Package nsstest makes real NSS softokn tokens for tests: key databases as Firefox
// has them.
//
// The module needs an argument of C_Initialize that names the database, and makes one
// signature at a time, since it decrypts the key for each: a slow HSM. How slow is a
// matter of how hard the password is made to guess; here it is about a tenth of what
// NSS does by itself, because a machine that runs tests has other things to do.
package nsstest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
)

const (
	// PIN is the password of every database.
	PIN = "password-of-an-NSS-test"
	// label is what every database's token is called.
	label = "NSS Certificate DB"
)

// Token is a database with a password.
type Token struct {
	provision.Token
	PINFile string // holds [PIN]; 0600
}

// Module returns the path of NSS's module, or an error if it is not installed.
func Module() (string, error) {
	for _, pattern := range []string{"/usr/lib/*/libsoftokn3.so", "/usr/lib/*/nss/libsoftokn3.so", "/usr/lib64/libsoftokn3.so"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errors.New("NSS is needed for this test; install it with: apt-get install libnss3 libnss3-tools")
}

// New makes a database without keys.
func New(t testing.TB) *Token {
	t.Helper()
	module, err := Module()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pinFile := filepath.Join(dir, "pin")
	if err := os.WriteFile(pinFile, []byte(PIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	iterations := []string{"NSS_MAX_MP_PBE_ITERATION_COUNT=1000"}
	cmd := exec.Command("certutil", "-N", "-d", "sql:"+dir, "-f", pinFile)
	cmd.Env = append(os.Environ(), iterations...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("certutil, from the package libnss3-tools: %v\n%s", err, out)
	}
	return &Token{
		Token:   provision.Token{Module: module, InitArgs: "configdir='sql:" + dir + "'", Label: label, PIN: PIN, Env: iterations},
		PINFile: pinFile,
	}
}
