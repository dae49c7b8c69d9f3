package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

const updateURL = "https://cdn.example.com/shop/"

// A delta update that bundlesign makes is one to the updater: a script that uses
// Node.js's own crypto and zlib, and nothing of ours, does with each file what a
// phone does; and refuses it once anything is changed.
func TestDeltaOnAPhone(t *testing.T) {
	d := startDaemon(t, keyInFile(t))
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, updaterOf[format], d.public)
			app := deltaApp(t)
			for name, data := range app {
				p.write(t, "www/"+name, data)
			}
			p.write(t, "public.pem", []byte(d.public.PEM()))
			out, code := d.bundlesign(t, p.dir, "sign", "www/", "--app", appID, "--channel", "production", "--version", "1.0.0-"+string(format),
				"--format", string(format), "--delta", "--output", "out/", "--url", updateURL, "--json")
			if code != 0 {
				t.Fatalf("bundlesign sign --delta ended with code %d:\n%s", code, out)
			}
			u := p.readUpdate(t)
			got, err := p.onPhone(t, "out/delta")
			if err != nil {
				t.Fatal(err)
			}
			delete(app, "empty.txt") // phones refuse a file without a byte
			if !maps.EqualFunc(app, got, bytes.Equal) {
				t.Errorf("a phone gets %d files, want the app's %d, to the byte", len(got), len(app))
			}
			testNames(t, p, u)
			testTampering(t, p, u)
		})
	}
}

// deltaApp is the example with files of all kinds that are stored differently.
func deltaApp(t *testing.T) map[string][]byte {
	t.Helper()
	app := make(map[string][]byte)
	for name, file := range exampleApp(t) {
		app[name] = file.Data
	}
	script := []byte(strings.Repeat("export const hello = () => console.log('hello')\n", 1000))
	app["js/vendor.js"] = script
	app["js/copy.js"] = script
	app["assets/font.woff2"] = randomBundle(t)
	app["assets/data.json.br"] = []byte("its own name ends in .br, and it is no Brotli")
	app["empty.txt"] = nil
	app["assets/caf\u00e9.txt"] = []byte("caf\u00e9")
	return app
}

// testNames looks at what a phone is told: the names, and where the objects are.
func testNames(t *testing.T, p *project, u *capgo.Update) {
	stored := make(map[string]string) // objects of the names
	for _, e := range u.Manifest {
		object, ok := strings.CutPrefix(e.DownloadURL, updateURL+"delta/")
		if !ok {
			t.Errorf("%s: download_url is %s", e.FileName, e.DownloadURL)
		}
		stored[e.FileName] = object
		if sum := fmt.Sprintf("files/%x", sha256.Sum256(p.read(t, "out/delta/"+object))); object != sum {
			t.Errorf("%s is stored as %s, want %s: its SHA-256", e.FileName, object, sum)
		}
	}
	if stored["js/vendor.js.br"] == "" || stored["assets/font.woff2"] == "" || stored["assets/data.json.br.br"] == "" {
		t.Errorf("found %v, want a script compressed, a font as it is, and a name in .br told apart", stored)
	}
	if stored["js/vendor.js.br"] != stored["js/copy.js.br"] {
		t.Error("two equal files are stored twice")
	}
}

// testTampering changes one thing at a time.
func testTampering(t *testing.T, p *project, good *capgo.Update) {
	entry := func(u *capgo.Update, name string) *capgo.ManifestEntry {
		for i := range u.Manifest {
			if u.Manifest[i].FileName == name {
				return &u.Manifest[i]
			}
		}
		t.Fatalf("found no %s", name)
		return nil
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, u *capgo.Update)
		says  []string // one of them: what random bytes are to Brotli is chance
	}{
		{"a byte of a compressed file", func(t *testing.T, u *capgo.Update) {
			flipObject(t, p, u, entry(u, "js/vendor.js.br"))
		}, []string{"js/copy.js.br: is not Brotli", "js/copy.js.br: is not what was signed", "js/copy.js.br: cannot be decrypted"}}, // the first of the two that share it
		{"a byte of a file as it is", func(t *testing.T, u *capgo.Update) {
			flipObject(t, p, u, entry(u, "assets/font.woff2"))
		}, []string{"assets/font.woff2: is not what was signed"}},
		{"a bit of a hash", func(t *testing.T, u *capgo.Update) {
			e := entry(u, "index.html")
			sig, format := parseChecksum(t, e.FileHash)
			e.FileHash = capgo.Signature(flip(sig[:], 8*128+5)).Checksum(format)
		}, []string{"index.html: file_hash was not made by this key"}},
		{"the hash of another file", func(_ *testing.T, u *capgo.Update) {
			entry(u, "index.html").FileHash = entry(u, "js/vendor.js.br").FileHash
		}, []string{"index.html: is not what was signed"}},
		{"a hash that nobody signed", func(_ *testing.T, u *capgo.Update) {
			entry(u, "index.html").FileHash = strings.Repeat("0", 64)
		}, []string{"index.html: file_hash has 32 bytes"}},
		{"a name without its .br", func(_ *testing.T, u *capgo.Update) {
			entry(u, "js/vendor.js.br").FileName = "js/vendor.js"
		}, []string{"js/vendor.js: is not what was signed"}},
		{"a name with a .br too many", func(_ *testing.T, u *capgo.Update) {
			entry(u, "assets/font.woff2").FileName += ".br"
		}, []string{"assets/font.woff2.br: is not Brotli", "assets/font.woff2.br: is not what was signed"}},
		{"a name that leaves the app", func(_ *testing.T, u *capgo.Update) {
			entry(u, "index.html").FileName = "../index.html"
		}, []string{"../index.html: leaves the folder"}},
		{"a name that is there already", func(_ *testing.T, u *capgo.Update) {
			entry(u, "index.html").FileName = "js/vendor.js"
		}, []string{"is there twice"}},
		{"a bit of the wrapped session key", func(t *testing.T, u *capgo.Update) {
			w := parseWrapped(t, u.SessionKey)
			w.Wrapped = capgo.Signature(flip(w.Wrapped[:], 8*128+5))
			u.SessionKey = w.String()
		}, []string{"session_key: was not made by this key"}},
	} {
		t.Run("refuses "+test.name, func(t *testing.T) {
			u := *good
			u.Manifest = append([]capgo.ManifestEntry(nil), good.Manifest...)
			if err := os.CopyFS(p.path("spoiled"), os.DirFS(p.path("out/delta"))); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = os.RemoveAll(p.path("spoiled")) // goes with the project anyway
				p.writeJSON(t, "out/update.json", good)
			})
			test.spoil(t, &u)
			p.writeJSON(t, "out/update.json", &u)
			_, err := p.onPhone(t, "spoiled")
			var refused *refusedError
			if !errors.As(err, &refused) {
				t.Fatalf("it was not refused: %v", err)
			}
			for _, says := range test.says {
				if strings.Contains(refused.output, says) {
					return
				}
			}
			t.Errorf("refused, but with %q, want %q", refused.output, test.says)
		})
	}
}

// flipObject flips a bit in the middle of a stored file, and keeps its name.
func flipObject(t *testing.T, p *project, u *capgo.Update, e *capgo.ManifestEntry) {
	t.Helper()
	name := "spoiled/files/" + e.DownloadURL[strings.LastIndex(e.DownloadURL, "/")+1:]
	data := p.read(t, name)
	p.write(t, name, flip(data, 8*(len(data)/2)+3))
}

// readUpdate reads the answer of the update server that bundlesign wrote.
func (p *project) readUpdate(t testing.TB) *capgo.Update {
	t.Helper()
	u, err := capgo.ParseUpdate(p.read(t, "out/update.json"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// onPhone has the script install the update from the folder of the project, and
// returns the files. If it did not accept it, the error is a *refusedError.
func (p *project) onPhone(t testing.TB, folder string) (map[string][]byte, error) {
	t.Helper()
	target := t.TempDir()
	script, err := filepath.Abs("testdata/check-delta.mjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), p.cli.node, script, "public.pem", "out/update.json", folder, target)
	cmd.Dir = p.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return nil, &refusedError{stderr.String()}
	case err != nil:
		t.Fatalf("check-delta.mjs: %v\n%s", err, stderr.String())
	}
	got := make(map[string][]byte)
	err = filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got[strings.TrimPrefix(path, target+"/")], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if said := strings.TrimSpace(stdout.String()); said != fmt.Sprint(len(got)) {
		t.Errorf("the script says that it installed %s files, and %d are there", said, len(got))
	}
	return got, nil
}
