package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// large is more than the tests hold in memory, so that files can be large and the
// tests quick.
const large = 40_000

// everyKind has a file of each kind.
func everyKind(t testing.TB) content {
	same := text(20_000, "same")
	return content{
		"index.html":        []byte("<html>"),
		"just-below.js":     text(capgo.BrotliMinSize-1, "a"),
		"just-there.js":     text(capgo.BrotliMinSize, "a"),
		"image.png":         noise(t, 30_000),
		"a/same.js":         same,
		"b/same.js":         same,
		"b/same.js.br":      same, // compressed, whatever the options say
		"c/plain.wasm":      text(20_000, "wasm"),
		"c/tiny.br":         []byte("hello"),
		"c/tiny2.br":        []byte{3},
		"c/noise.br":        noise(t, 1537),
		"large/text.js":     text(large+1, "large"),
		"large/video.mp4":   noise(t, large+1),
		"large/plain.wasm":  text(large+2, "wasm"),
		"a/caf\u00e9/x.css": text(9000, "x"),
	}
}

func TestWrite(t *testing.T) {
	c := everyKind(t)
	p := c.plan(t)
	p.inMemory = large
	var size int64
	for _, f := range p.Files {
		size += f.Size
	}
	parent := t.TempDir()
	hex, hexSession := signers()[0].target(t, p, filepath.Join(parent, "hex"))
	old, oldSession := signers()[1].target(t, p, filepath.Join(parent, "old"))
	old.Hashes, old.BaseURL = signers()[1].hashes(t, p, capgo.FormatLegacy), "https://cdn.example.com/old"
	var done int64
	written, err := p.Write(t.Context(), []Target{hex, old}, Options{NoBrotli: []string{"*.wasm", "b/**"}}, func(n int64) { done += n })
	if err != nil {
		t.Fatal(err)
	}
	if done != size {
		t.Errorf("progress told of %d bytes, want %d", done, size)
	}
	for i, w := range []struct {
		target  Target
		key     *capgo.PublicKey
		session capgo.WrappedKey
		url     string
	}{{hex, signers()[0].public, hexSession, "files/"}, {old, signers()[1].public, oldSession, "https://cdn.example.com/old/files/"}} {
		if got := written[i].Dir; got != w.target.Dir {
			t.Errorf("wrote %s, want %s", got, w.target.Dir)
		}
		if !c.equal(onPhone(t, w.target.Dir, w.key, w.session.String())) {
			t.Error("a phone gets other files")
		}
		var names []string
		for _, e := range written[i].Manifest {
			names = append(names, e.FileName)
			if !strings.HasPrefix(e.DownloadURL, w.url) || len(e.DownloadURL) != len(w.url)+64 {
				t.Errorf("%s: download_url is %s", e.FileName, e.DownloadURL)
			}
		}
		want := []string{
			"a/café/x.css.br", "a/same.js.br", "b/same.js", "b/same.js.br.br", "c/noise.br.br", "c/plain.wasm", "c/tiny.br.br", "c/tiny2.br.br",
			"image.png", "index.html", "just-below.js", "just-there.js.br", "large/plain.wasm", "large/text.js.br", "large/video.mp4",
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		// 15 files, and two of them are the same in the same form.
		files := tree(t, w.target.Dir)
		if len(files) != 14+1 {
			t.Errorf("found %d files, want 14 objects and the manifest: %v", len(files), files)
		}
		var stored int64
		for _, name := range files {
			info, err := os.Stat(filepath.Join(w.target.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if name != "manifest.json" {
				stored += info.Size()
			}
			if got := info.Mode().Perm(); got&0o400 == 0 || got&0o111 != 0 || got != modeOfNewFiles(t) {
				t.Errorf("%s has mode %v, want that of any new file", name, got)
			}
		}
		if written[i].Bytes != stored {
			t.Errorf("said %d bytes, wrote %d", written[i].Bytes, stored)
		}
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 2 {
		t.Errorf("found %v, want the two folders alone", entries)
	}
}

func modeOfNewFiles(t *testing.T) os.FileMode {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// The same app, session key and hashes give the same bytes; another app replaces
// them, and only a whole one does.
func TestWriteAgain(t *testing.T) {
	c := content{"a.js": text(50_000, "a"), "b.png": noise(t, 9000), "c.txt": []byte("c")}
	p := c.plan(t)
	parent := t.TempDir()
	target, session := signers()[0].target(t, p, filepath.Join(parent, "out"))
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(target.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var first []string
	var manifest []byte
	for range 2 {
		if _, err := p.Write(t.Context(), []Target{target}, Options{}, nil); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, manifest = tree(t, target.Dir), read("manifest.json")
		}
	}
	if got := tree(t, target.Dir); !cmp.Equal(got, first) || !bytes.Equal(read("manifest.json"), manifest) {
		t.Errorf("the second time it was different: %v, before %v", got, first)
	}

	// An app of which a file is not any more what was signed.
	c["a.js"] = text(50_000, "A")
	_, err := p.Write(t.Context(), []Target{target}, Options{}, nil)
	if !errors.Is(err, webapp.ErrChanged) || !strings.Contains(err.Error(), "www/a.js: its SHA-256 was ") {
		t.Errorf("found %v, want that a.js changed", err)
	}
	c["a.js"] = text(50_000, "a")
	if got := onPhone(t, target.Dir, signers()[0].public, session.String()); !c.equal(got) {
		t.Error("the earlier result did not survive a failure")
	}

	c["d.js"] = text(10_000, "d")
	p = c.plan(t)
	target, session = signers()[0].target(t, p, target.Dir)
	if _, err := p.Write(t.Context(), []Target{target}, Options{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := onPhone(t, target.Dir, signers()[0].public, session.String()); !c.equal(got) {
		t.Error("the new result is not whole")
	}
	if n := len(tree(t, parent)); n != 5 {
		t.Errorf("found %d files, want 4 objects and the manifest", n)
	}
}

// A large file that changes is found out, too: it is not held in memory.
func TestWriteLargeFileThatChanges(t *testing.T) {
	for name, data := range map[string][]byte{"text.js": text(large+1, "t"), "video.mp4": noise(t, large+1)} {
		for _, reads := range []int{1, 2, 3} { // to hash, to sample, to compress or encrypt
			c := content{name: data}
			app := c.app()
			open, n := app.Files[0].Open, 0
			app.Files[0].Open = func() (io.ReadCloser, error) {
				if n++; n > reads {
					other := bytes.Clone(data)
					other[len(other)-1] ^= 1
					return io.NopCloser(bytes.NewReader(other)), nil
				}
				return open()
			}
			p, err := Hash(t.Context(), app, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.inMemory = large
			parent := t.TempDir()
			target, _ := signers()[0].target(t, p, filepath.Join(parent, "out"))
			_, err = p.Write(t.Context(), []Target{target}, Options{}, nil)
			if reads == 3 {
				if err != nil {
					t.Errorf("%s: a file that did not change: %v", name, err)
				}
				continue
			}
			if !errors.Is(err, webapp.ErrChanged) {
				t.Errorf("%s, after %d reads: found %v, want ErrChanged", name, reads, err)
			}
			nothingIn(t, parent)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	c := content{"a.js": []byte("a"), "b.js": []byte("b")}
	p := c.plan(t)
	parent := t.TempDir()
	good, _ := signers()[0].target(t, p, filepath.Join(parent, "out"))
	with := func(change func(*Target)) []Target {
		bad := good
		change(&bad)
		return []Target{bad}
	}
	for says, test := range map[string]struct {
		targets []Target
		options Options
	}{
		"no target":         {nil, Options{}},
		"1 signed hashes":   {with(func(t *Target) { t.Hashes = t.Hashes[:1] }), Options{}},
		"hash of b.js":      {with(func(t *Target) { t.Hashes = []string{t.Hashes[0], "abc"} }), Options{}},
		"https":             {with(func(t *Target) { t.BaseURL = "http://cdn.example.com/" }), Options{}},
		"without ?":         {with(func(t *Target) { t.BaseURL = "https://cdn.example.com/?a=" }), Options{}},
		"written twice":     {[]Target{good, with(func(t *Target) { t.Dir += "/." })[0]}, Options{}},
		"session key":       {with(func(t *Target) { t.Key = new(capgo.SessionKey) }), Options{}},
		"no such file":      {with(func(t *Target) { t.Dir = filepath.Join(parent, "none", "out") }), Options{}},
		"no-brotli pattern": {[]Target{good}, Options{NoBrotli: []string{"["}}},
	} {
		if _, err := p.Write(t.Context(), test.targets, test.options, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("found %v, want an error with %q", err, says)
		}
		nothingIn(t, parent)
	}
	if _, err := new(Plan).Write(t.Context(), []Target{good}, Options{}, nil); err == nil {
		t.Error("a plan that nobody made was written")
	}
}

// Nothing of a user's is deleted: only what looks like an earlier result, to the
// last name, is replaced.
func TestWriteKeepsWhatIsNotOurs(t *testing.T) {
	c := content{"a.js": []byte("a")}
	p := c.plan(t)
	dir := filepath.Join(t.TempDir(), "out")
	target, _ := signers()[0].target(t, p, dir)
	if _, err := p.Write(t.Context(), []Target{target}, Options{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o644) },
		func() error { return os.WriteFile(filepath.Join(dir, "files", "notes.txt"), []byte("mine"), 0o644) },
		func() error { return os.Mkdir(filepath.Join(dir, "files", "more"), 0o755) },
		func() error { return os.Symlink("..", filepath.Join(dir, "files", strings.Repeat("0", 64))) },
		func() error { return os.Remove(filepath.Join(dir, "manifest.json")) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"manifest_version": 3}`), 0o644)
		},
		func() error { return os.RemoveAll(filepath.Join(dir, "files")) },
		func() error {
			return errors.Join(os.Rename(filepath.Join(dir, "files"), dir+".files"), os.Symlink(dir+".files", filepath.Join(dir, "files")))
		},
	} {
		if err := CheckDir(dir); err != nil {
			t.Fatalf("an earlier result was not recognised: %v", err)
		}
		if err := os.RemoveAll(dir + ".saved"); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir+".saved", os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		before := tree(t, dir)
		if err := CheckDir(dir); !errors.Is(err, outfile.ErrOccupied) {
			t.Errorf("CheckDir found %v, want ErrOccupied", err)
		}
		if _, err := p.Write(t.Context(), []Target{target}, Options{}, nil); !errors.Is(err, outfile.ErrOccupied) {
			t.Errorf("found %v, want ErrOccupied", err)
		}
		if after := tree(t, dir); !cmp.Equal(before, after) {
			t.Errorf("found %v, before %v", after, before)
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".saved", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteStops(t *testing.T) {
	c := everyKind(t)
	p := c.plan(t)
	p.inMemory = large
	parent := t.TempDir()
	target, _ := signers()[0].target(t, p, filepath.Join(parent, "out"))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p.Write(ctx, []Target{target}, Options{}, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want that it was cancelled", err)
	}
	nothingIn(t, parent)
}

// fullDisk is the folder to write to, in a process that may write no large files.
const fullDisk = "BUNDLESIGN_TEST_FULL_DISK"

// A limit on the size of files stands for a full disk.
func TestWriteToAFullDisk(t *testing.T) {
	if parent := os.Getenv(fullDisk); parent != "" {
		p := content{"a.js": []byte("a"), "image.png": noise(t, 300_000)}.plan(t)
		target, _ := signers()[0].target(t, p, filepath.Join(parent, "out"))
		_, err := p.Write(t.Context(), []Target{target}, Options{}, nil)
		if err == nil || !strings.Contains(err.Error(), "file too large") || !strings.Contains(err.Error(), "image.png") {
			t.Errorf("found %v, want that the disk is full", err)
		}
		return
	}
	parent := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `ulimit -f 100; exec "$0" -test.run '^TestWriteToAFullDisk$'`, program)
	cmd.Env = append(os.Environ(), fullDisk+"="+parent)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	nothingIn(t, parent)
}
