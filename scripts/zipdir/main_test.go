package main

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func app(modified time.Time) fstest.MapFS {
	file := func(s string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(s), Mode: 0o600, ModTime: modified}
	}
	return fstest.MapFS{"index.html": file("<html>"), "js/app.js": file("go()"), "a.css": file("")}
}

func TestZipFSIsReproducible(t *testing.T) {
	var first, second bytes.Buffer
	if err := zipFS(&first, app(time.Unix(1e9, 0))); err != nil {
		t.Fatal(err)
	}
	if err := zipFS(&second, app(time.Unix(2e9, 0))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same files at another time gave another zip")
	}
}

func TestZipFSHoldsTheFiles(t *testing.T) {
	var buf bytes.Buffer
	if err := zipFS(&buf, app(time.Now())); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Name+": "+string(b))
	}
	if diff := cmp.Diff([]string{"a.css: ", "index.html: <html>", "js/app.js: go()"}, got); diff != "" {
		t.Errorf("the zip's files (-want +got):\n%s", diff)
	}
}

func TestZipFSRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		fsys fs.FS
		want string
	}{
		{"an empty folder", fstest.MapFS{}, "found no file"},
		{"a symbolic link", fstest.MapFS{"x": {Data: []byte("y"), Mode: fs.ModeSymlink}}, "x: found"},
		{"a named pipe", fstest.MapFS{"x": {Mode: fs.ModeNamedPipe}}, "x: found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := zipFS(io.Discard, test.fsys)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error that says %q", err, test.want)
			}
		})
	}
}
