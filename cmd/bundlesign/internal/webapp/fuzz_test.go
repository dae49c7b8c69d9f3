package webapp_test

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// FuzzOpenZip holds what is taken against the models of the phones: both must see the
// files that OpenZip lists, and no others.
func FuzzOpenZip(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c.zip.bytes(f))
	}
	seeds, err := filepath.Glob("testdata/*/*.zip")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("found no zips (%v)", err)
	}
	for _, name := range append(seeds, "../../testdata/official/app.zip") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(pack(f, open(f, small().write(f))))
	f.Add(two(rawEntry{name: "x", data: []byte("described"), method: 8, flags: 8}).bytes(f))
	f.Add(rawZip{entries: []rawEntry{index, {name: "a/", mode: 0o040755}, {name: "a/b"}}, end: put16(20, 2), behind: []byte("hi")}.bytes(f))

	limits := webapp.Limits{Bytes: 1 << 20, Ratio: 50, FreeBytes: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := webapp.OpenZipWithin("fuzz.zip", bytes.NewReader(data), int64(len(data)), limits)
		if err != nil {
			return
		}
		if a.Size() > limits.Bytes {
			t.Errorf("its files have %d bytes, want at most %d", a.Size(), limits.Bytes)
		}
		whole := true
		found := make(tree)
		for _, file := range a.Files {
			if file.Name != path.Clean(file.Name) || !filepath.IsLocal(file.Name) || strings.Contains(file.Name, `\`) {
				t.Errorf("the name %q leads elsewhere", file.Name)
			}
			r, err := file.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if int64(len(content)) > file.Size {
				t.Errorf("%s gives %d bytes, and says %d", file.Name, len(content), file.Size)
			}
			whole = whole && err == nil
			found[file.Name] = content
		}
		if !whole {
			return
		}
		android, err := modelOfAndroid(data)
		if err != nil {
			t.Fatalf("Android refuses what was taken: %v", err)
		}
		same(t, "Android", found, android)
		iOS, err := modelOfIOS(data)
		if err != nil {
			t.Fatalf("iOS refuses what was taken: %v", err)
		}
		same(t, "iOS", found, iOS)
		if _, err := a.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
