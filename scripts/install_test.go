package scripts

import (
	"os/exec"
	"strings"
	"testing"
)

// Where everything is installed, which it must be for the tests to run at all,
// nothing happens and nothing is said.
func TestInstallDepsDoesNothingTwice(t *testing.T) {
	for _, purpose := range []string{"build", "demo"} {
		out, err := exec.Command("./install-deps", purpose).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("install-deps %s: %v\n%s", purpose, err, out)
		}
	}
}

func TestInstallDepsRefuses(t *testing.T) {
	out, err := exec.Command("./install-deps", "everything").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "want build, demo or test") {
		t.Errorf("an unknown purpose: %v\n%s", err, out)
	}
}
