package webapp_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func check(t *testing.T, a *webapp.App) *webapp.Findings {
	t.Helper()
	found, err := a.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The updater takes the only folder that everything is in for the app; what counts as
// everything differs between phones.
func TestCheckFindsIndexAsTheUpdaterDoes(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
		says  string
	}{
		"at the top":                   {[]string{"index.html", "a.js"}, "index.html", ""},
		"alone":                        {[]string{"index.html"}, "index.html", ""},
		"in the only folder":           {[]string{"www/index.html", "www/a.js"}, "www/index.html", ""},
		"at the top of one folder":     {[]string{"index.html", "www/index.html"}, "index.html", ""},
		"in one of two folders":        {[]string{"www/index.html", "docs/a"}, "", "found it at www/index.html"},
		"two folders down":             {[]string{"a/b/index.html"}, "", "found it at a/b/index.html"},
		"beside a hidden folder":       {[]string{"www/index.html", ".well-known/x"}, "", "Android takes and iOS does not, because .well-known"},
		"beside what macOS left":       {[]string{"www/index.html", "__MACOSX/www/x"}, "", "because __MACOSX"},
		"in a hidden folder":           {[]string{".www/index.html"}, "", "found it at .www/index.html"},
		"by a name in capital letters": {[]string{"Index.html"}, "", "found it at Index.html"},
		"nowhere":                      {[]string{"main.js"}, "", "found none"},
	} {
		t.Run(name, func(t *testing.T) {
			app := make(tree)
			for _, f := range c.files {
				app[f] = []byte(f)
			}
			found := check(t, open(t, app.write(t)))
			if found.IndexHTML != c.want || !strings.Contains(found.IndexProblem, c.says) || (found.IndexProblem == "") != (c.want != "") {
				t.Errorf("found %q (%s), want %q (%s)", found.IndexHTML, found.IndexProblem, c.want, c.says)
			}
		})
	}
}

// An empty folder of a zip counts, too.
func TestCheckCountsFoldersOfZips(t *testing.T) {
	entries := []rawEntry{{name: "www/index.html", data: []byte("x")}, {name: "empty/", mode: 0o040755}}
	for n, want := range []string{1: "www/index.html", 2: ""} {
		if n == 0 {
			continue
		}
		a, err := openZip(rawZip{entries: entries[:n]}.bytes(t))
		if err != nil {
			t.Fatal(err)
		}
		if found := check(t, a); found.IndexHTML != want {
			t.Errorf("found %q, want %q", found.IndexHTML, want)
		}
	}
}

func TestCheckFindsNotifyAppReady(t *testing.T) {
	const piece = 64 << 10 // is read at a time
	call := []byte("x.notifyAppReady()")
	at := func(n int) []byte { return append(bytes.Repeat([]byte(" "), n), call...) }
	for name, c := range map[string]struct {
		file string
		data []byte
		want bool
	}{
		"at the beginning": {"a.js", at(0), true},
		"further on":       {"assets/chunks/a.js", at(1_000_000), true},
		"module":           {"a.mjs", at(0), true},
		"page":             {"index.html", at(0), true},
		"not a script":     {"README.md", at(0), false},
		"source map":       {"a.js.map", at(0), false},
		"something else":   {"a.js", []byte("notifyAppRead"), false},
		"nothing":          {"a.js", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if found := check(t, open(t, tree{c.file: c.data}.write(t))); found.CallsNotifyAppReady != c.want {
				t.Errorf("found %v, want %v", found.CallsNotifyAppReady, c.want)
			}
		})
	}
	for n := piece - len(call) - 1; n <= piece+1; n++ {
		if found := check(t, open(t, tree{"a.js": at(n)}.write(t))); !found.CallsNotifyAppReady {
			t.Errorf("it was not found at %d", n)
		}
	}
}

func TestCheckTellsNamesThatAreAlike(t *testing.T) {
	dir := tree{"Logo.png": nil, "logo.PNG": nil, "straße": nil, "x": nil}.write(t)
	want := [][2]string{{"Logo.png", "logo.PNG"}}
	if diff := cmp.Diff(want, check(t, open(t, dir)).Alike); diff != "" {
		t.Errorf("-want +found:\n%s", diff)
	}
}

func TestCheckOfAFolderThatChanges(t *testing.T) {
	dir := tree{"a.js": []byte("x")}.write(t)
	a := open(t, dir)
	if err := os.Truncate(filepath.Join(dir, "a.js"), 5); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(t.Context()); !errors.Is(err, webapp.ErrChanged) {
		t.Errorf("found the error %v, want ErrChanged", err)
	}
}
