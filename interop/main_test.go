package interop

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
)

// appID is the app that all bundles are for.
const appID = "com.example.interop"

// What all tests share, set once before any runs.
var (
	cli      officialCLI
	programs ourPrograms
)

// ourPrograms are the daemon and the client, as `make build` makes them.
type ourPrograms struct {
	daemon string
	client string
	user   string // who runs the tests
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// The daemon believes no configuration that others can write.
	syscall.Umask(0o022)
	if cli, err = findCLI(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if programs, err = buildPrograms(dir); err != nil {
		return 1, err
	}
	if err := noteSources(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// noteSources looks at every source file of the module, because `go test`
// remembers at which files a test looked, and repeats an old result while these
// are the same. It cannot know what the programs were built from.
func noteSources() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
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

func buildPrograms(dir string) (ourPrograms, error) {
	me, err := user.Current()
	if err != nil {
		return ourPrograms{}, err
	}
	p := ourPrograms{
		daemon: filepath.Join(dir, "bundlesignd"),
		client: filepath.Join(dir, "bundlesign"),
		user:   me.Username,
	}
	for _, b := range []struct{ out, pkg, cgo string }{
		{p.daemon, "../cmd/bundlesignd", "CGO_ENABLED=1"},
		{p.client, "../cmd/bundlesign", "CGO_ENABLED=0"},
	} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", b.out, b.pkg)
		cmd.Env = append(os.Environ(), b.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return ourPrograms{}, fmt.Errorf("building %s: %w\n%s", b.pkg, err, out)
		}
	}
	return p, nil
}
