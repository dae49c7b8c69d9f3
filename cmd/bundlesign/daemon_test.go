package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestDaemonScripts runs bundlesign against the real daemon.
func TestDaemonScripts(t *testing.T) {
	bin := t.TempDir()
	out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "bundlesignd"), "../bundlesignd").CombinedOutput()
	if err != nil {
		t.Fatalf("building bundlesignd: %v\n%s", err, out)
	}
	setup := func(env *testscript.Env) error {
		env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("BUNDLESIGN_SOCKET", filepath.Join(env.WorkDir, "d.sock"))
		return nil
	}
	runScripts(t, "testdata/daemon", setup)
	runScripts(t, "testdata/ssh", func(env *testscript.Env) error { return errors.Join(setup(env), setupSSH(env)) })
}
