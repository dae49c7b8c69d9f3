package capgo_test

import (
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestInDelta(t *testing.T) {
	for name, want := range map[string]bool{
		"index.html":                  true,
		"assets/app.js":               true,
		".DS_Store":                   false,
		"assets/.DS_Store":            false,
		".git/config":                 false,
		"a/.git/config":               false,
		".gitignore":                  false,
		"node_modules/a/index.js":     false,
		"a/node_modules/b.js":         false,
		"package-lock.json":           false,
		"a/package-lock.json":         false,
		"tsconfig.json":               false,
		"tsconfig.app.json":           false,
		"a/tsconfig.spec.json":        false,
		".github/a.js":                true, // the official CLI leaves these out, because
		"assets/my.gitignored.js":     true, // it looks for the names anywhere in the path
		"old_node_modules.zip":        true,
		"assets/x-package-lock.json5": true,
		"package.json":                true,
		"tsconfig.js":                 true,
	} {
		if got, why := capgo.InDelta(name, 1); got != want || got == (why != "") {
			t.Errorf("%s: found %v (%q), want %v", name, got, why, want)
		}
	}
	if in, why := capgo.InDelta("a.js", 0); in || !strings.Contains(why, "empty") {
		t.Errorf("an empty file: found %v (%q)", in, why)
	}
}

func TestValidFileName(t *testing.T) {
	long := strings.Repeat("n", 149)
	for _, name := range []string{
		"a", "a.br", "a.br.br", "index.html", "a/b/c.js.br", "a b.js", "ä/ö.js", ".well-known/x", "..a", "a..", "...", "a%20b", "a:b", "-a", "~",
		long, long + ".br", long + "/" + long, strings.Repeat("d", 255) + "/a",
	} {
		if err := capgo.ValidFileName(name); err != nil {
			t.Errorf("%.40q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".br", "a/", "a/.br", "/", "/a", "//a", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", "...br/../../a",
		`a\b`, `..\a`, "a\x00", "a\nb", "a\x7f", "a\u0085", "\xff", "a/..br", "..br", "...br",
		long + "n", long + "n.br", strings.Repeat("d", 256) + "/a", strings.Repeat("a/", 512) + "a",
	} {
		if err := capgo.ValidFileName(name); err == nil {
			t.Errorf("%.40q was taken", name)
		}
	}
	if err := capgo.ValidPlainName("a b.js"); err == nil || !strings.Contains(err.Error(), "space") {
		t.Errorf("a space: found %v", err)
	}
	if err := capgo.ValidPlainName("a/b.br"); err != nil {
		t.Errorf("a compressed file in the app: %v", err)
	}
}

func TestFileName(t *testing.T) {
	for _, test := range []struct {
		name   string
		brotli bool
		want   string // "" is refused
	}{
		{"a.js", false, "a.js"},
		{"a.js", true, "a.js.br"},
		{"a.js.br", true, "a.js.br.br"},
		{"a.js.br", false, ""},
	} {
		got, err := capgo.FileName(test.name, test.brotli)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s, %v: found %q, %v", test.name, test.brotli, got, err)
		}
		if err != nil {
			continue
		}
		if target, brotli := (capgo.ManifestEntry{FileName: got}).Target(); target != test.name || brotli != test.brotli {
			t.Errorf("%s: a phone puts it at %s, brotli %v", got, target, brotli)
		}
	}
}
