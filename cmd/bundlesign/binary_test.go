package main

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const module = "github.com/bundlesign/bundlesign"

// The client is for CI images: it must not carry the daemon.
func TestClientLinksNothingOfTheDaemon(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	allowed := regexp.MustCompile(`^(api/wire|audit|capgo|policy|client|client/sshsig|config/strictyaml|cmd/bundlesign|cmd/bundlesign/internal/.*|cmd/internal/(show|manpage))$`)
	foreign := regexp.MustCompile(`^(go\.uber\.org/zap|github\.com/miekg/pkcs11|modernc\.org/|cloud\.google\.com/|github\.com/hashicorp/|runtime/cgo$|testing$)`)
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if ours, ok := strings.CutPrefix(dep, module+"/"); ok && !allowed.MatchString(ours) {
			t.Errorf("bundlesign links %s", dep)
		}
		if foreign.MatchString(dep) {
			t.Errorf("bundlesign links %s", dep)
		}
	}
}

// build makes the binary as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundlesign")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build with CGO_ENABLED=0: %v\n%s", err, out)
	}
	return path
}

func TestBinaryIsStatic(t *testing.T) {
	f, err := elf.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("found a %v segment, want a static file", p.Type)
		}
	}
}

// maxResident is how much memory signing a bundle of any size may take.
const maxResident = 64 << 20

func TestSigningAGibibyteTakesLittleMemory(t *testing.T) {
	s := newSession(t)
	// A hole takes no room. It is no zip, which is no matter here.
	if err := errors.Join(os.Truncate(s.bundle, 0), os.Truncate(s.bundle, 1<<30)); err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	for _, args := range [][]string{
		{"sign", s.bundle, "--app", "com.example.app", "--channel", "production", "--version", "1.2.3", "--json"},
		{"verify", "--result", filepath.Join(s.dir, "result.json"), "--public-key", s.pem},
	} {
		cmd := exec.CommandContext(context.Background(), binary, args...)
		cmd.Env = []string{"BUNDLESIGN_SOCKET=" + s.daemon.Socket()}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
		if args[0] == "sign" {
			if err := os.WriteFile(filepath.Join(s.dir, "result.json"), out, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			t.Fatal("the system does not tell how much memory a process took")
		}
		if peak := usage.Maxrss << 10; peak > maxResident {
			t.Errorf("%s took %d MiB, want at most %d", args[0], peak>>20, maxResident>>20)
		} else {
			t.Logf("%s took %d MiB", args[0], peak>>20)
		}
	}
}
