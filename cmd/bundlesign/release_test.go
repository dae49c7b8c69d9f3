package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish/publishtest"
)

// TestReleaseScripts runs what comes after signing, verify and publish, with zips
// that no packer makes ($ZIPS) and a stand-in for the public Capgo API ($CAPGO), of
// which com.acme.shop 9.9.9 is registered by somebody else.
func TestReleaseScripts(t *testing.T) {
	zips := t.TempDir()
	for name, content := range oddZips(t) {
		if err := os.WriteFile(filepath.Join(zips, name+".zip"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runScripts(t, "testdata/release", func(env *testscript.Env) error {
		api := publishtest.NewFakeAPI("fake-api-key")
		env.Defer(api.Close)
		api.Add(publishtest.Bundle{AppID: "com.acme.shop", Name: "9.9.9", ExternalURL: "https://cdn.example/other.zip"})
		env.Setenv("CAPGO", api.URL)
		env.Setenv("ZIPS", zips)
		return nil
	})
}

// oddZips are zips that are signed like any other, by a build that was taken over
// or broken.
func oddZips(t *testing.T) map[string][]byte {
	t.Helper()
	const index, script = "<script src=app.js></script>", "notifyAppReady()"
	out := map[string][]byte{
		"dotdot":   rawZip(t, rawEntry{"index.html", index, 0}, rawEntry{"../../databases/x.xml", script, 0}),
		"absolute": rawZip(t, rawEntry{"index.html", index, 0}, rawEntry{"/etc/x", script, 0}),
		"twice":    rawZip(t, rawEntry{"index.html", index, 0}, rawEntry{"index.html", script, 0}),
		"noindex":  rawZip(t, rawEntry{"home.html", index, 0}, rawEntry{"app.js", script, 0}),
		"damaged":  rawZip(t, rawEntry{"index.html", index, 1}),
		"noready":  rawZip(t, rawEntry{"index.html", "hello", 0}),
		"nozip":    []byte("PK\x03\x04 and nothing else"),
	}
	// 8 MB of one byte, in a few kilobytes.
	var bomb bytes.Buffer
	w := zip.NewWriter(&bomb)
	in, err := w.Create("index.html")
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.Write(make([]byte, 8<<20))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	out["bomb"] = bomb.Bytes()
	return out
}

// rawEntry is a stored file with any name, and a checksum that may be off.
type rawEntry struct {
	name, content string
	off           uint32
}

func rawZip(t *testing.T, entries ...rawEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		size := uint64(len(e.content))
		out, err := w.CreateRaw(&zip.FileHeader{
			Name: e.name, CRC32: crc32.ChecksumIEEE([]byte(e.content)) + e.off,
			CompressedSize64: size, UncompressedSize64: size,
		})
		if err == nil {
			_, err = out.Write([]byte(e.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
