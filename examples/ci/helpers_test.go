package ci

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// try runs a program in dir and returns all that it printed, and its exit code.
// Nothing but PATH comes from the environment of the test.
func try(t *testing.T, dir string, env []string, name string, args ...string) (string, int) {
	t.Helper()
	cmd := newCommand(t, dir, env, name, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(out), 0
	case errors.As(err, &exit) && exit.Exited():
		return string(out), exit.ExitCode()
	}
	t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	return "", -1
}

// command runs a program that must succeed, and returns its stdout.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := newCommand(t, dir, env, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

func newCommand(t *testing.T, dir string, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	path := name
	if !strings.Contains(name, "/") {
		if own := filepath.Join(programs.bin, name); exists(own) {
			path = own
		}
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + searchPath(), "HOME=" + home(t), "LC_ALL=C", "CI=true"}, env...)
	return cmd
}

// searchPath finds our programs, the Node.js of the tests, and then the machine's own.
func searchPath() string {
	return strings.Join([]string{programs.bin, filepath.Dir(programs.node), os.Getenv("PATH")}, string(os.PathListSeparator))
}

// home is a home folder with a name for git in it.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".gitconfig"), "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n")
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write writes a file that its owner alone can write, and makes its folder.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace replaces pairs of texts. Each must be there: a recipe that has changed must
// not be run as something else than the test thinks.
func replace(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("found no %q to replace in:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// webApp is a small bundle.
func webApp(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create("index.html")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("<script>CapacitorUpdater.notifyAppReady()</script>")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
