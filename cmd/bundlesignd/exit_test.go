package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runHere runs the program in this process.
func runHere(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	dir := initialized(t)
	good := filepath.Join(dir, "config.yaml")
	held := initialized(t)
	startDaemon(t, held)
	broken := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(broken, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stateless := initialized(t)
	if err := os.Remove(filepath.Join(stateless, "state")); err != nil {
		t.Fatal(err)
	}
	blocked := initialized(t)
	if err := os.WriteFile(filepath.Join(blocked, "bundlesignd.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"--help", 0, ""},
		{"--version", 0, ""},
		{"help config check", 0, ""},
		{"config check --config " + good, 0, ""},
		{"quarantine list --config " + good, 0, ""},

		{"", 2, "Usage:\n"},
		{"", 2, `found no command after "bundlesignd"`},
		{"bogus", 2, "Usage:\n"},
		{"bogus", 2, `unknown command "bogus" for "bundlesignd"`},
		{"config", 2, "Usage:\n"},
		{"config bogus", 2, `unknown command "bogus" for "bundlesignd config"`},
		{"quarantine", 2, "Usage:\n"},
		{"quarantine bogus", 2, `unknown command "bogus" for "bundlesignd quarantine"`},
		{"help bogus", 2, `found no command ["bogus"]`},
		{"--bogus", 2, "unknown flag: --bogus; see bundlesignd --help"},
		{"serve now", 2, `"now"`},
		{"init now", 2, `"now"`},
		{"config check now", 2, `"now"`},
		{"config check --user no-such-user --config " + good, 2, "unknown user no-such-user"},
		{"quarantine list now", 2, `"now"`},
		{"quarantine release", 2, ""},
		{"config check --config " + broken, 2, "nonsense: unknown field"},
		{"serve --config " + broken, 2, "nonsense: unknown field"},
		{"quarantine list --config " + broken, 2, "nonsense: unknown field"},
		{"config check --config " + filepath.Join(stateless, "config.yaml"), 2, "state_dir: found no folder " + stateless + "/state, make it: install -d -m 700 -o "},
		{"serve --config " + filepath.Join(stateless, "config.yaml"), 2, "state_dir: found no folder " + stateless + "/state, make it: install -d -m 700 -o "},
		{"init --app nonsense", 2, "app: "},
		{"init --user no-such-user", 2, "unknown user no-such-user"},
		{"init --key-uri file:/x", 2, "--public-key"},
		{"init --key-uri file:/x --public-key /nowhere", 2, "/nowhere"},
		{"init --dir " + dir, 2, "nothing is ever overwritten"},

		{"serve --config " + filepath.Join(held, "config.yaml"), 1, "in use by process"},
		{"quarantine list --config " + filepath.Join(held, "config.yaml"), 1, "in use by process"},
		{"serve --config " + filepath.Join(blocked, "config.yaml"), 1, "is not a socket"},
		{"quarantine release acme-shop --reason x --config " + good, 1, "not in quarantine"},
		{"init --dir /proc/nowhere", 1, "/proc/nowhere"},
	} {
		cmd := bundlesignd(strings.Fields(c.args)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run() // the exit code tells
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(errs.String(), c.stderr) {
			t.Errorf("%q: exit code %d, want %d; stderr\n%swant in it %q", c.args, code, c.code, errs.String(), c.stderr)
		}
		if c.code != 0 && out.Len() > 0 {
			t.Errorf("%q: found %q on stdout, want all on stderr", c.args, out.String())
		}
	}
	if _, err := net.Dial("unix", filepath.Join(held, "bundlesignd.sock")); err != nil {
		t.Errorf("the daemon that was in the way is gone: %v", err)
	}
}

// docs/operations.md has a table with every code.
func TestExitCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Exit codes of bundlesignd\n")
	if !found {
		t.Fatal("found no section on exit codes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range []string{"\n| 0 | ", "\n| 1 | ", "\n| 2 | "} {
		if !strings.Contains(section, row) {
			t.Errorf("found no row %q in\n%s", row, section)
		}
	}
	if n := strings.Count(section, "\n| "); n != 5 { // with its head and the rule below it
		t.Errorf("found a table of %d lines, want 5", n)
	}
}
