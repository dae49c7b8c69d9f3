package interop

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// The command that "bundlesign publish" prints is one that the official CLI takes, as
// far as it goes without a network: it sees the values that it should, and complains
// about nothing but that it cannot reach its server.
func TestOfficialCLITakesTheUploadCommand(t *testing.T) {
	d := startDaemon(t, keyInFile(t))
	p := newProject(t, updaterOf[capgo.FormatHex], d.public)
	p.signFolder(t, d)
	p.write(t, ".capgo", []byte("this-is-no-key")) // its home is the project's folder
	const url = "https://cdn.example/1.0.0/app.zip?a=1&b=it's"

	out, code := bundlesign(t, p.dir, "publish", "--result", "result.json", "--url", url, "--print-upload-command")
	if code != 0 {
		t.Fatalf("bundlesign publish ended with code %d:\n%s", code, out)
	}
	args := words(t, out)
	said := p.refusal(t, append(args, "--verbose")...)
	for _, want := range []string{
		"Bundle: 1.0.0", "External: " + url, "Channel: production", "App ID: " + appID, "Code check passed", "Cannot connect to server",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the official CLI does not say %q:\n%s", want, said)
		}
	}

	// It does look at its options, before all that.
	if said := p.refusal(t, append(args, "--tus")...); !strings.Contains(said, "You cannot use the --tus option with an external url") {
		t.Errorf("the official CLI did not look at its options:\n%s", said)
	}
	said = p.refusal(t, append(args, "--no-such-option")...)
	if !strings.Contains(said, "unknown option") {
		t.Errorf("the official CLI takes any option:\n%s", said)
	}
}

// words are the arguments of the official CLI in a command, as a shell reads it.
func words(t *testing.T, command string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `npx() { printf '%s\0' "$@"; }; `+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(args) < 2 || args[0] != "@capgo/cli" {
		t.Fatalf("%s has the words %q, want the official CLI's first", command, args)
	}
	return args[1:]
}

// refusal is what the official CLI says when it ends with code 1.
func (p *project) refusal(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.cli.run(t, p.dir, args...)
	var refused *refusedError
	if !errors.As(err, &refused) {
		t.Fatalf("the official CLI did not end with code 1: %v\n%s", err, out)
	}
	return refused.output
}
