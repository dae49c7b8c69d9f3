package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// The worst that a project can have: the private half of the app's key, in its files or only in the history of its
// repository. Both are told, and the key itself is not.
func TestDoctorFindsTheAppsPrivateKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal(map[string]any{"plugins": map[string]any{"CapacitorUpdater": map[string]any{"publicKey": public.PEM()}}})
	if err != nil {
		t.Fatal(err)
	}
	write("capacitor.config.json", config)
	write("package.json", []byte(`{"dependencies": {"@capgo/capacitor-updater": "8.51.23"}}`))
	write("old name", private)
	git(t, dir, "init", "--quiet")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "--message", "a key")

	doctor := func(want int) string {
		t.Helper()
		var out, errs bytes.Buffer
		found := run([]string{"doctor", dir, "--offline"}, strings.NewReader(""), &out, &errs, func(string) string { return "" })
		if found != want {
			t.Errorf("found exit code %d, want %d:\n%s%s", found, want, &out, &errs)
		}
		for line := range strings.Lines(string(private)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "---") && strings.Contains(out.String()+errs.String(), line) {
				t.Error("the report has a line of the private key")
			}
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	found := doctor(exitUntrusted)
	for _, want := range []string{
		"FAILED private keys in files old name: the private half of the app's key -> whoever has a copy can sign updates",
		"FAILED private keys in git old name (blob ",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("found %s\nwant %s", found, want)
		}
	}

	// Removed, it is still there.
	if err := os.Remove(filepath.Join(dir, "old name")); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "--all")
	git(t, dir, "commit", "--quiet", "--message", "no key")
	found = doctor(exitUntrusted)
	if !strings.Contains(found, "ok private keys in files") || !strings.Contains(found, "FAILED private keys in git old name (blob ") {
		t.Errorf("found %s\nwant the key in the history alone", found)
	}
}

// git runs git as nobody in particular.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}
