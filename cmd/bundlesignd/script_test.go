package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bundlesign/bundlesign/config"
)

// TestScripts runs bundlesignd as its users type it. $EXAMPLES is the folder
// examples/policies. It adds one command to those of testscript:
//
//	code N COMMAND...   run COMMAND and want exit code N
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples/policies")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			bin := filepath.Join(env.WorkDir, ".bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			// The test binary is the program, if it is told so.
			script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asDaemon, config.ShellQuote(program))
			return os.WriteFile(filepath.Join(bin, "bundlesignd"), []byte(script), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": codeCommand},
	})
}

func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	found := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		found = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if found != want {
		ts.Fatalf("found exit code %d, want %d", found, want)
	}
}
