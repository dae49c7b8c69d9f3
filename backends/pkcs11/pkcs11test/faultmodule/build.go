package faultmodule

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed c/fake_module.c
var source string

// functions returns the functions that the fake counts and can do wrong in. The C
// side gets the list from here and does not compile if it lacks one.
func functions() []string {
	return []string{
		"C_Initialize", "C_Finalize", "C_GetInfo", "C_GetSlotList", "C_GetTokenInfo",
		"C_GetMechanismList", "C_GetMechanismInfo", "C_OpenSession", "C_CloseSession",
		"C_GetSessionInfo", "C_Login", "C_Logout", "C_CreateObject", "C_DestroyObject",
		"C_GetAttributeValue", "C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
		"C_SignInit", "C_Sign", "C_GenerateKeyPair", "C_UnwrapKey", "C_GenerateRandom",
	}
}

// build returns the path of the compiled module, which it compiles if that was not
// done yet. Tests in several processes may do so at once.
func build() (string, error) {
	var header strings.Builder
	header.WriteString("#define FUNCTIONS(X)")
	for _, name := range functions() {
		fmt.Fprintf(&header, " X(%s)", name)
	}
	header.WriteString("\n")

	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(header.String() + source))
	dir := filepath.Join(cache, "bundlesign-test")
	built := filepath.Join(dir, fmt.Sprintf("fake-module-%x.so", hash[:8]))
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := compile(work, header.String()); err != nil {
		return "", err
	}
	return built, os.Rename(filepath.Join(work, "module.so"), built)
}

// compile compiles the module. The standard's header is the one that comes with
// the PKCS#11 library of this program.
func compile(work, header string) error {
	for name, text := range map[string]string{"functions.h": header, "fake_module.c": source} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	include, err := run("", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11")
	if err != nil {
		return err
	}
	_, err = run(work, "gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden",
		"-I.", "-I"+strings.TrimSpace(include), "-o", "module.so", "fake_module.c", "-ldl")
	return err
}

func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is needed for this test; install it with: apt-get install %s", name, name)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, stderr.String())
	}
	return string(out), nil
}
