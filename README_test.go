// Package bundlesign_test runs what README.md tells its readers to run.
package bundlesign_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The shell examples run as they stand, in order, in one folder that has what
// the text says it has: a key as `npx @capgo/cli key create` leaves it, and a zip.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("found %d shell examples, want the two of the first bundle", len(blocks))
	}
	dir, bin := t.TempDir(), t.TempDir()
	run(t, ".", "go", "build", "-buildvcs=false", "-o", bin+"/", "./cmd/bundlesign", "./cmd/bundlesignd")
	run(t, dir, "openssl", "genrsa", "-traditional", "-out", ".capgo_key_v2", "2048")
	run(t, dir, "openssl", "rsa", "-in", ".capgo_key_v2", "-RSAPublicKey_out", "-out", ".capgo_key_v2.pub")
	if err := os.Chmod(filepath.Join(dir, ".capgo_key_v2"), 0o644); err != nil { // as the official CLI leaves it
		t.Fatal(err)
	}
	writeZip(t, filepath.Join(dir, "app.zip"))
	tokens := t.TempDir()
	conf := filepath.Join(tokens, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("SOFTHSM2_CONF", conf)
	var checksums []string
	for _, b := range blocks {
		// A reader's shell goes on after a daemon; a test must not leave it behind.
		out := run(t, dir, "bash", "-euc", "trap 'kill $(jobs -p) 2>/dev/null || :; wait || :' EXIT\n"+b[1])
		if !strings.Contains(out, "digest       ok") {
			t.Errorf("the example does not end in a verified bundle:\n%s", out)
		}
		result, err := os.ReadFile(filepath.Join(dir, "result.json"))
		if err != nil {
			t.Fatal(err)
		}
		checksums = append(checksums, regexp.MustCompile(`"checksum": *"(\w+)"`).FindString(string(result)))
	}
	if checksums[0] == "" || checksums[0] != checksums[1] {
		t.Errorf("file and token made the checksums %q, the text says that they are the same", checksums)
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func writeZip(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create("index.html")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("<!doctype html><title>shop</title><script>CapacitorUpdater.notifyAppReady()</script>")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Every file that the README and the documents point to is there.
func TestLinks(t *testing.T) {
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, doc := range append(docs, "README.md", "SECURITY.md", "CHANGELOG.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s points to %s: %v", doc, m[1], err)
			}
		}
	}
}
