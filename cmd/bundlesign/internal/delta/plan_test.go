package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func TestHash(t *testing.T) {
	c := content{
		"index.html": []byte("<html>"), "assets/app.js": text(300<<10, "app"), "empty.txt": nil, ".gitignore": []byte("x"),
		"node_modules/a b.js": []byte("left out, so that its name does not matter"), "x.br": []byte("any"),
	}
	var read int64
	got, err := Hash(t.Context(), c.app(), func(n int64) { read += n })
	if err != nil {
		t.Fatal(err)
	}
	want := &Plan{Skipped: []string{
		".gitignore (.gitignore is no part of an app)",
		"empty.txt (empty: phones refuse a file without a byte)",
		"node_modules/a b.js (node_modules is no part of an app)",
	}}
	var size int64
	for _, name := range []string{"assets/app.js", "index.html", "x.br"} {
		want.Files = append(want.Files, Planned{name, sha256.Sum256(c[name]), int64(len(c[name]))})
		size += int64(len(c[name]))
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Plan{})); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if read != size {
		t.Errorf("progress told of %d bytes, want %d", read, size)
	}
}

func TestHashRefuses(t *testing.T) {
	good := content{"a": []byte("a")}
	var name *NameError
	for bad, says := range map[string]string{"b c.js": "space", "../b": `".."`, `b\c`: `\`, strings.Repeat("n", 150): "149"} {
		c := content{"a": []byte("a"), bad: []byte("b")}
		if _, err := Hash(t.Context(), c.app(), nil); !errors.As(err, &name) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: found %v, want a *NameError with %q", bad, err, says)
		}
	}
	for _, c := range []content{{}, {"empty": nil, ".DS_Store": []byte("x")}} {
		if _, err := Hash(t.Context(), c.app(), nil); !errors.Is(err, ErrNoFiles) {
			t.Errorf("found %v, want ErrNoFiles", err)
		}
	}
	twice := good.app()
	twice.Files = append(twice.Files, twice.Files[0])
	if _, err := Hash(t.Context(), twice, nil); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("one name twice: found %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Hash(ctx, good.app(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: found %v", err)
	}
}

// Whatever is wrong with reading a file, it is an error.
func TestHashOfAFileThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	for what, test := range map[string]struct {
		open func() (io.ReadCloser, error)
		want error
	}{
		"cannot be opened": {func() (io.ReadCloser, error) { return nil, broken }, broken},
		"breaks":           {func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }, broken},
		"is too short":     {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("ab")), nil }, webapp.ErrChanged},
		"is too long":      {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("abcd")), nil }, webapp.ErrChanged},
		"has no end":       {func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }, webapp.ErrChanged},
	} {
		app := &webapp.App{Path: "www", Files: []webapp.File{{Name: "a.js", Size: 3, Open: test.open}}}
		if _, err := Hash(t.Context(), app, nil); !errors.Is(err, test.want) {
			t.Errorf("%s: found %v, want %v", what, err, test.want)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestGlobs(t *testing.T) {
	for pattern, names := range map[string]map[string]bool{
		"*.wasm":        {"a.wasm": true, "b/a.wasm": true, "a.wasm/b": false, "a.js": false},
		"assets/*":      {"assets/a": true, "assets/a/b": false, "x/assets/a": false},
		"assets/**":     {"assets/a": true, "assets/a/b": true, "assets2/a": false},
		"**/img/*.png":  {"img/a.png": true, "a/b/img/c.png": true, "a/img/b/c.png": false},
		"**":            {"a": true, "a/b": true},
		"a/**/**/b":     {"a/b": true, "a/x/y/b": true, "a": false},
		"[ab].js":       {"a.js": true, "c.js": false, "d/b.js": true},
		"?.js":          {"a.js": true, "aa.js": false},
		"vendor/**/*.c": {"vendor/a.c": true, "vendor/x/a.c": true, "a.c": false},
	} {
		g := globs{"never", pattern}
		if err := g.check(); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		for name, want := range names {
			if got := g.match(name); got != want {
				t.Errorf("%s, %s: found %v, want %v", pattern, name, got, want)
			}
		}
	}
	for _, pattern := range []string{"", "[", "a/[b", "*.{png,jpg}", "!a", "a,b"} {
		if err := (globs{pattern}).check(); err == nil {
			t.Errorf("%q was taken", pattern)
		}
	}
}
