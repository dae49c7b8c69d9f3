// Command zipdir packs the files of a folder into a zip, as the bundle of a web
// app: paths relative to the folder, in order, all with the same date, so that
// the same files always give the same bytes and so the same digest.
//
// Usage: go run ./scripts/zipdir FOLDER OUT.zip
package main

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: zipdir FOLDER OUT.zip")
		os.Exit(2)
	}
	if err := zipFile(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "zipdir:", err)
		os.Exit(1)
	}
}

func zipFile(dir, out string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := zipFS(f, os.DirFS(dir)); err != nil {
		_ = f.Close() // the first error is the one that tells
		return err
	}
	return f.Close()
}

// epoch is the first moment that a zip can hold.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipFS writes the regular files of fsys to w. It refuses anything that is
// neither file nor folder: a phone could not unpack it.
func zipFS(w io.Writer, fsys fs.FS) error {
	z := zip.NewWriter(w)
	files := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error { // in lexical order
		switch {
		case err != nil || d.IsDir():
			return err
		case !d.Type().IsRegular():
			return fmt.Errorf("%s: found %s, want only files and folders", name, d.Type())
		}
		files++
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: epoch}
		header.SetMode(0o644)
		entry, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(entry, f)
		return err
	})
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("found no file in the folder, want a web app with an index.html")
	}
	return z.Close()
}
