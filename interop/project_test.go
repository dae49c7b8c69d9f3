package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bundlesign/bundlesign/capgo"
)

// The versions of the updater on either side of the border between the forms of
// the checksum: the CLI looks at the one that is installed in a project.
var updaterOf = map[capgo.ChecksumFormat]string{
	capgo.FormatHex:    "7.30.0",
	capgo.FormatLegacy: "7.29.9",
}

var formats = []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy}

// project is a Capacitor project in a scratch folder, as far as the CLI looks.
type project struct {
	cli officialCLI
	dir string
}

// newProject makes a project with this version of the updater, and the public
// key, if there is one, in capacitor.config.json.
func newProject(t testing.TB, updater string, publicKey *capgo.PublicKey) *project {
	t.Helper()
	p := &project{cli: cli, dir: t.TempDir()}
	p.writeJSON(t, "package.json", map[string]any{
		"name": "interop", "version": "1.0.0", "private": true,
		"dependencies": map[string]string{"@capgo/capacitor-updater": updater},
	})
	p.writeJSON(t, "node_modules/@capgo/capacitor-updater/package.json", map[string]any{
		"name": "@capgo/capacitor-updater", "version": updater,
	})
	settings := make(map[string]any)
	if publicKey != nil {
		settings["publicKey"] = publicKey.PEM()
	}
	p.writeJSON(t, "capacitor.config.json", map[string]any{
		"appId": appID, "appName": "interop", "webDir": "www",
		"plugins": map[string]any{"CapacitorUpdater": settings},
	})
	return p
}

// path is the path of a file of the project.
func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *project) writeJSON(t testing.TB, name string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, name, data)
}

func (p *project) read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// createKey has the CLI make a signing key, as a company that starts with a PEM
// file does, and returns the names of the private and the public file.
func (p *project) createKey(t testing.TB) (private, public string) {
	t.Helper()
	if _, err := p.cli.run(t, p.dir, "key", "create"); err != nil {
		t.Fatal(err)
	}
	private, public = ".capgo_key_v2", ".capgo_key_v2.pub"
	// The CLI leaves the private key readable by everybody, and the daemon does
	// not take it like that.
	if err := os.Chmod(p.path(private), 0o600); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// zip has the CLI make a bundle of the example app and returns what it says of it.
func (p *project) zip(t testing.TB, name string) (digest string) {
	t.Helper()
	if err := os.CopyFS(p.path("www"), exampleApp(t)); err != nil {
		t.Fatal(err)
	}
	out, err := p.cli.run(t, p.dir, "bundle", "zip", appID, "--path", "www", "--bundle", "1.0.0", "--name", name, "--key-v2", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var zipped struct{ Filename, Checksum string }
	if err := json.Unmarshal([]byte(out), &zipped); err != nil {
		t.Fatalf("bundle zip printed %q: %v", out, err)
	}
	if zipped.Filename != name {
		t.Fatalf("bundle zip wrote %q, want %q", zipped.Filename, name)
	}
	return zipped.Checksum
}

// exampleApp is the web app that the demo signs.
func exampleApp(t testing.TB) fstest.MapFS {
	t.Helper()
	app := make(fstest.MapFS)
	root := "../examples/web-app/www"
	for _, pattern := range []string{"*.*", "*/*.*"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			app[strings.TrimPrefix(name, root+"/")] = &fstest.MapFile{Data: data, Mode: 0o600}
		}
	}
	if app["index.html"] == nil {
		t.Fatalf("found no index.html in %s", root)
	}
	return app
}

// sealed is an encrypted bundle as it is handed to an update server: the members
// that bundlesign and the CLI print alike.
type sealed struct {
	Checksum     string `json:"checksum"`
	Filename     string `json:"filename"`
	IVSessionKey string `json:"ivSessionKey"`
}

// encrypt has the CLI encrypt a bundle of the project with a private key in it.
func (p *project) encrypt(t testing.TB, name, digest, key string) sealed {
	t.Helper()
	out, err := p.cli.run(t, p.dir, "bundle", "encrypt", name, digest, "--key", key, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var s sealed
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("bundle encrypt printed %q: %v", out, err)
	}
	return s
}

// decrypt has the CLI decrypt and check an encrypted bundle of the project, and
// returns the plain one. The error is a *refusedError if the CLI did not accept it.
func (p *project) decrypt(t testing.TB, s sealed) ([]byte, error) {
	t.Helper()
	out, err := p.cli.run(t, p.dir, "bundle", "decrypt", s.Filename, s.IVSessionKey, "--checksum", s.Checksum)
	if err != nil {
		return nil, err
	}
	// Exit code 0 alone would not show that it looked at the checksum.
	if !strings.Contains(out, "Checksum matches") {
		t.Fatalf("the CLI succeeded without having compared the checksum:\n%s", out)
	}
	return p.read(t, s.Filename+"_decrypted.zip"), nil
}
