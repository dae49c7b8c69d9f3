package webapp_test

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree is the files of an app, by name.
type tree map[string][]byte

// write puts the tree into a folder of the test.
func (tr tree) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range tr {
		writeFile(t, filepath.Join(dir, name), data)
	}
	return dir
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// small is an app.
func small() tree {
	return tree{
		"index.html":         []byte("<!doctype html><script src=assets/main.js></script>"),
		"assets/main.js":     bytes.Repeat([]byte("CapacitorUpdater.notifyAppReady();\n"), 40),
		"assets/empty.css":   nil,
		"assets/a space.txt": []byte("x"),
		"assets/größe.json":  []byte(`{"größe": 1}`),
		"a-b/c":              []byte("sorts before a/"),
		"a/b":                []byte("sorts after a-b/"),
		".well-known/x":      []byte("hidden"),
	}
}

func open(t testing.TB, dir string) *webapp.App {
	t.Helper()
	a, err := webapp.OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pack(t testing.TB, a *webapp.App) []byte {
	t.Helper()
	var zip bytes.Buffer
	if err := a.Pack(t.Context(), &zip, nil); err != nil {
		t.Fatal(err)
	}
	return zip.Bytes()
}

// content reads all files of an app.
func content(t testing.TB, a *webapp.App) tree {
	t.Helper()
	got := make(tree)
	for _, f := range a.Files {
		data, err := readAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) != f.Size {
			t.Errorf("%s has %d bytes, and was listed with %d", f.Name, len(data), f.Size)
		}
		got[f.Name] = data
	}
	return got
}

func readAll(f webapp.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// find returns the file of that name.
func find(t testing.TB, a *webapp.App, name string) webapp.File {
	t.Helper()
	for _, f := range a.Files {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("found no %s", name)
	return webapp.File{}
}

// random gives the same bytes on every machine and with every release of Go, which
// the generators of math/rand are not made for (xorshift64, of George Marsaglia).
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = random(x)
	return x
}

func (r *random) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.next() >> 32)
	}
	return b
}

// script looks like a program to a compressor: few words often, many seldom.
func (r *random) script(n int) []byte {
	words := make([][]byte, 3000)
	for i := range words {
		word := make([]byte, 1+r.next()%11)
		for j := range word {
			word[j] = "etaoinsrhldcumfpgwybvkxjqz_$01234"[r.next()%33]
		}
		words[i] = word
	}
	b := make([]byte, 0, n+16)
	for len(b) < n {
		k := r.next() % 3000
		k = k * (r.next() % 3000) / 3000
		b = append(b, words[k]...)
		b = append(b, " .(){};,=\n"[r.next()%10])
	}
	return b[:n]
}

// same compares trees.
func same(t testing.TB, who string, want, found tree) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("%s sees other names (-want +found):\n%s", who, diff)
	}
	for name := range want {
		if !bytes.Equal(want[name], found[name]) {
			t.Errorf("%s sees other bytes in %s", who, name)
		}
	}
}
