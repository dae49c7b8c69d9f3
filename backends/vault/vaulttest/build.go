package vaulttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	module = "github.com/bundlesign/bundlesign"
	// VersionVariable is the environment variable that says which release of Vault
	// the tests run against; without it they take the oldest of [Versions].
	VersionVariable = "BUNDLESIGN_VAULT_VERSION"
)

// Versions returns the releases of Vault that there is a module for, oldest first.
func Versions() []string { return []string{"1.13.0", "1.21.0"} }

// Version returns the release that the tests run against.
func Version() (string, error) {
	version := os.Getenv(VersionVariable)
	if version == "" {
		return Versions()[0], nil
	}
	if !slices.Contains(Versions(), version) {
		return "", fmt.Errorf("%s is %q, want one of %s", VersionVariable, version, strings.Join(Versions(), ", "))
	}
	return version, nil
}

// moduleFiles names the files that a release is built with, in the folder vaultcore:
// one program, and a go.mod for each release.
func moduleFiles(version string) (mod, sum string) {
	if version == Versions()[0] {
		return "go.mod", "go.sum"
	}
	return "v" + version + ".mod", "v" + version + ".sum"
}

// Build compiles a release of the Vault core, from backends/vault/vaultcore, into the
// user's cache directory and returns the program's path. What was built from the same
// files with the same Go is used again; only the first time takes minutes. Two processes
// may do it at once.
func Build(ctx context.Context, version string, log func(string)) (program string, err error) {
	root, err := output(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "backends", "vault", "vaultcore")
	mod, sum := moduleFiles(version)
	name, err := fingerprint(source, "main.go", mod, sum)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "bundlesign", "vaultcore")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// A lock for each release: nobody who needs one waits until another is built.
	lock, err := os.OpenFile(filepath.Join(dir, "lock-"+version), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with that unlocked
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	program = filepath.Join(dir, name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	log("vaulttest: building the core of Vault " + version + ", once: some minutes")
	unfinished := program + ".unfinished"
	if _, err := output(ctx, source, "go", "build", "-buildvcs=false", "-modfile="+mod, "-o", unfinished, "."); err != nil {
		return "", err
	}
	return program, os.Rename(unfinished, program)
}

// fingerprint names a build after what goes into it.
func fingerprint(source string, files ...string) (string, error) {
	h := sha256.New()
	h.Write([]byte(runtime.Version() + runtime.GOOS + runtime.GOARCH))
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		h.Write(data)
	}
	return "vaultcore-" + hex.EncodeToString(h.Sum(nil)[:8]), nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
