package ci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const howToInstall = "run: scripts/install-deps test"

// What all tests share, set once before any runs.
var programs tools

// tools are the programs that the tests run.
type tools struct {
	bin       string // the folder with bundlesign and bundlesignd
	user      string // who runs the tests
	act       string
	node      string
	gitlabRun string // gitlab-ci-local, for node
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "examples/ci:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	// The daemon believes no configuration that others can write.
	syscall.Umask(0o022)
	me, err := user.Current()
	if err != nil {
		return 1, err
	}
	programs.user = me.Username
	if err := findTools(); err != nil {
		return 1, err
	}
	if programs.bin, err = os.MkdirTemp("", "ci"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(programs.bin)
	for pkg, cgo := range map[string]string{"bundlesignd": "CGO_ENABLED=1", "bundlesign": "CGO_ENABLED=0"} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", programs.bin+"/", "../../cmd/"+pkg)
		cmd.Env = append(os.Environ(), cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	if err := noteSources(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// noteSources looks at every source file of the module: `go test` repeats an old result
// while the files are the same at which a test looked, and cannot know what the programs
// were built from.
func noteSources() error {
	return filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "demo" || d.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) == ".go" || filepath.Ext(path) == ".mod":
			_, err = os.Stat(path)
		}
		return err
	})
}

// findTools finds what scripts/install-deps installed.
func findTools() error {
	for _, name := range []string{"bash", "curl", "git", "jq", "npm", "openssl", "rsync", "shellcheck", "ssh-keygen"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w; %s", err, howToInstall)
		}
	}
	var err error
	if programs.gitlabRun, err = filepath.Abs("tools/gitlab-ci-local/node_modules/gitlab-ci-local/dist/index.js"); err != nil {
		return err
	}
	if _, err := os.Stat(programs.gitlabRun); err != nil {
		return fmt.Errorf("found no gitlab-ci-local (%w); %s", err, howToInstall)
	}
	if programs.node, err = findNode(); err != nil {
		return err
	}
	// It prints where the program is, and builds it if it has not been built yet.
	cmd := exec.Command("go", "tool", "-n", "act")
	cmd.Dir = "tools/act"
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("building act: %w\n%s", err, exit.Stderr)
	}
	programs.act = strings.TrimSpace(string(out))
	return err
}

// findNode finds a Node.js that is new enough: the machine's own, or the one from npm
// that scripts/install-deps installs where that is too old.
func findNode() (string, error) {
	if own, _ := filepath.Glob("../../interop/nodejs/node_modules/node-linux-*/bin/node"); len(own) > 0 {
		return filepath.Abs(own[0])
	}
	path, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, howToInstall)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 20 {
		return "", fmt.Errorf("found Node.js %q, want 20 or later; %s", out, howToInstall)
	}
	return path, nil
}
