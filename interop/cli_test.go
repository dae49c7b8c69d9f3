package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cliVersion is the release of the official CLI that the tests hold with.
const cliVersion = "8.68.1"

// cliPatience is how long the CLI may take on a busy machine; it needs a second.
const cliPatience = 2 * time.Minute

const howToInstall = "run: scripts/install-deps test"

// officialCLI is the installed command line.
type officialCLI struct {
	node   string // the Node.js to run it with
	script string
	airgap string
}

// findCLI finds what scripts/install-deps installed.
func findCLI() (officialCLI, error) {
	here, err := os.Getwd()
	if err != nil {
		return officialCLI{}, err
	}
	c := officialCLI{
		node:   "node",
		script: filepath.Join(here, "node_modules/@capgo/cli/dist/index.js"),
		airgap: filepath.Join(here, "testdata/airgap.cjs"),
	}
	if _, err := os.Stat(c.script); err != nil {
		return c, fmt.Errorf("found no official CLI (%w); %s", err, howToInstall)
	}
	if v, err := packageVersion(filepath.Join(here, "node_modules/@capgo/cli")); err != nil || v != cliVersion {
		return c, fmt.Errorf("found version %q of the official CLI, want %s (%v); %s", v, cliVersion, err, howToInstall)
	}
	// The machine's own Node.js may be too old; then there is one from npm.
	if own, _ := filepath.Glob(filepath.Join(here, "nodejs/node_modules/node-linux-*/bin/node")); len(own) > 0 {
		c.node = own[0]
	}
	out, err := exec.Command(c.node, "--version").Output()
	if err != nil {
		return c, fmt.Errorf("found no Node.js (%w); %s", err, howToInstall)
	}
	if !atLeast(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), 20, 12) {
		return c, fmt.Errorf("found Node.js %s, want 20.12 or later; %s", bytes.TrimSpace(out), howToInstall)
	}
	return c, nil
}

func packageVersion(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ Version string }
	if err := json.Unmarshal(data, &p); err != nil {
		return "", err
	}
	return p.Version, nil
}

func atLeast(version string, major, minor int) bool {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

// refusedError is the CLI's way to say no: exit code 1, and what it printed.
type refusedError struct{ output string }

func (e *refusedError) Error() string { return "the official CLI refused:\n" + e.output }

// run runs the CLI in dir and returns what it wrote to stdout. If it ends with
// code 1 the error is a *refusedError; anything else is the test's failure.
func (c officialCLI) run(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cliPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.node, append([]string{"--require", c.airgap, c.script}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + dir, // it looks there for an API key
		"CAPGO_DISABLE_TELEMETRY=1",
		"CI=1",
		"NO_COLOR=1",
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.String(), nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return "", &refusedError{stdout.String() + stderr.String()}
	}
	t.Fatalf("capgo %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	return "", err
}
