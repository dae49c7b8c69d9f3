package webapp_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// What a zip is made of is names and bytes, and nothing else that a file has.
func TestPackSameTreeSameBytes(t *testing.T) {
	want := pack(t, open(t, small().write(t)))
	names := slices.Sorted(maps.Keys(small()))
	slices.Reverse(names)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	dir := t.TempDir()
	for i, name := range names {
		path := filepath.Join(dir, name)
		writeFile(t, path, small()[name])
		if err := os.Chmod(path, []os.FileMode{0o700, 0o400, 0o644}[i%3]); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(int64(1e9+i*86400), 0)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, ".DS_Store"), []byte("of this Mac"))
	writeFile(t, filepath.Join(dir, "assets/.git/config"), []byte("of this clone"))
	if err := os.Mkdir(filepath.Join(dir, "without files"), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("TZ", "Asia/Tokyo")
	a := open(t, ".")
	if found := pack(t, a); !bytes.Equal(found, want) {
		t.Error("the zip of the same files is another one")
	}
	if diff := cmp.Diff([]string{".DS_Store", "assets/.git"}, a.Skipped); diff != "" {
		t.Errorf("skipped (-want +found):\n%s", diff)
	}
}

// The number of processors, and so the order in which files are compressed and what a
// worker compressed before, do not count either.
func TestPackOnAnyNumberOfProcessors(t *testing.T) {
	r := random(7)
	app := make(tree)
	for i := range 60 {
		app[fmt.Sprintf("f%02d", i)] = append(r.script(int(r.next()%40_000)), r.noise(int(r.next()%2_000))...)
	}
	dir := app.write(t)
	want := asOne(t, open(t, dir))
	for range 3 {
		if found := pack(t, open(t, dir)); !bytes.Equal(found, want) {
			t.Fatal("several workers give another zip than one file after the other")
		}
	}
}

// asOne packs each file by itself, with a compressor that was not used before, and
// joins the zips.
func asOne(t *testing.T, a *webapp.App) []byte {
	t.Helper()
	var want bytes.Buffer
	w := zip.NewWriter(&want)
	for _, f := range a.Files {
		one := *a
		one.Files = []webapp.File{f}
		data := pack(t, &one)
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = w.Copy(r.File[0])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return want.Bytes()
}

// Go's own library, and both kinds of phones by what is known of their code, get the
// tree back.
func TestPackGivesTheTreeBack(t *testing.T) {
	for name, app := range map[string]tree{"small": small(), "golden": golden()} {
		t.Run(name, func(t *testing.T) {
			data := pack(t, open(t, app.write(t)))
			r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			unzipped := make(tree)
			for _, f := range r.File {
				if mode := f.Mode(); mode != 0o644 {
					t.Errorf("%s has the mode %v, want a file with 0644", f.Name, mode)
				}
				in, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				if unzipped[f.Name], err = io.ReadAll(in); err != nil {
					t.Fatal(err)
				}
			}
			android, err := modelOfAndroid(data)
			if err != nil {
				t.Fatalf("Android: %v", err)
			}
			iOS, err := modelOfIOS(data)
			if err != nil {
				t.Fatalf("iOS: %v", err)
			}
			ours, err := webapp.OpenZip("app.zip", bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if err := ours.Verify(t.Context(), nil); err != nil {
				t.Error(err)
			}
			for who, found := range map[string]tree{"Go": unzipped, "Android": android, "iOS": iOS, "OpenZip": content(t, ours)} {
				same(t, who, app, found)
			}
			if again := pack(t, ours); !bytes.Equal(again, data) {
				t.Error("the zip, opened and packed again, is another one")
			}
		})
	}
}

// A file is stored only where Deflate would not make it smaller, since Android takes
// no stored file with its sizes behind it.
func TestPackChoosesTheMethodBySizeAlone(t *testing.T) {
	data := pack(t, open(t, golden().write(t)))
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	const descriptor = 1 << 3
	for _, f := range r.File {
		wantDescriptor := f.UncompressedSize64 > 2<<20
		if got := f.Flags&descriptor != 0; got != wantDescriptor {
			t.Errorf("%s (%d bytes): data descriptor %v, want %v", f.Name, f.UncompressedSize64, got, wantDescriptor)
		}
		wantStored := slices.Contains([]string{"empty.txt", "one byte", "assets/photo.jpg"}, f.Name)
		if got := f.Method == zip.Store; got != wantStored {
			t.Errorf("%s: stored %v, want %v", f.Name, got, wantStored)
		}
	}
}

func TestPackTree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.StringMatching(`[a-z0-9 äß日_.-]{0,6}[a-z]`)
		app := rapid.MapOfN(
			rapid.Custom(func(rt *rapid.T) string {
				// Two levels, so that no file is a folder, too.
				return part.Draw(rt, "folder") + "/" + part.Draw(rt, "name")
			}),
			rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 5).Draw(rt, "app")
		data := pack(t, open(t, tree(app).write(t)))
		android, errA := modelOfAndroid(data)
		iOS, errB := modelOfIOS(data)
		if errA != nil || errB != nil {
			rt.Fatal(errA, errB)
		}
		same(t, "Android", app, android)
		same(t, "iOS", app, iOS)
	})
}

func TestPackTellsProgress(t *testing.T) {
	a := open(t, golden().write(t))
	var told atomic.Int64
	if err := a.Pack(t.Context(), io.Discard, func(n int64) { told.Add(n) }); err != nil {
		t.Fatal(err)
	}
	if told.Load() != a.Size() {
		t.Errorf("told of %d bytes, want %d", told.Load(), a.Size())
	}
}

// A zip without ZIP64 cannot have it: that is said before a byte is written.
func TestPackRefusesWhatIsTooLarge(t *testing.T) {
	t.Run("6 GiB", func(t *testing.T) {
		dir := small().write(t)
		if err := os.Truncate(filepath.Join(dir, "assets/empty.css"), 6<<30); err != nil { // a hole: it takes no room
			t.Fatal(err)
		}
		checkTooLarge(t, open(t, dir), "assets/empty.css")
	})
	t.Run("65,535 files", func(t *testing.T) {
		checkTooLarge(t, &webapp.App{Path: "app", Files: make([]webapp.File, 65_535)}, "65535")
	})
}

func checkTooLarge(t *testing.T, a *webapp.App, says string) {
	t.Helper()
	var zip bytes.Buffer
	err := a.Pack(t.Context(), &zip, nil)
	if !errors.Is(err, webapp.ErrTooLarge) || !bytes.Contains([]byte(err.Error()), []byte(says)) {
		t.Errorf("found the error %v, want ErrTooLarge that says %s", err, says)
	}
	if zip.Len() > 0 {
		t.Errorf("%d bytes were written", zip.Len())
	}
}

func TestPackManyFiles(t *testing.T) {
	const files = 20_000
	a := &webapp.App{Path: "app"}
	for i := range files { // not on disk: to make and remove that many takes seconds
		var body []byte
		if i%40 == 0 { // not all: with the race detector it takes long to compress
			body = bytes.Repeat(fmt.Appendf(nil, "export default %d;", i), 9)
		}
		a.Files = append(a.Files, webapp.File{
			Name: fmt.Sprintf("%03d/%05d.js", i/200, i), Size: int64(len(body)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
		})
	}
	data := pack(t, a)
	a, err := webapp.OpenZip("app.zip", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Files) != files {
		t.Errorf("found %d files, want %d", len(a.Files), files)
	}
	if err := a.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// fullDisk takes so many bytes and no more.
type fullDisk int

func (d *fullDisk) Write(p []byte) (int, error) {
	if *d -= fullDisk(len(p)); *d < 0 {
		return 0, unix.ENOSPC
	}
	return len(p), nil
}

func TestPackToAFullDisk(t *testing.T) {
	a := open(t, golden().write(t))
	for _, room := range []fullDisk{0, 40, 100_000, 1_000_000} {
		if err := a.Pack(t.Context(), &room, nil); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("found the error %v, want ENOSPC", err)
		}
	}
}

func TestPackStopsWhenItIsCancelled(t *testing.T) {
	a := open(t, golden().write(t))
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Pack(ctx, io.Discard, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("found the error %v, want that it was cancelled", err)
	}
}
