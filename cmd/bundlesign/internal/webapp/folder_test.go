package webapp_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func TestOpenFolderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string) error
		says  string
	}{
		"a link to a file":     {func(_ *testing.T, dir string) error { return os.Symlink("index.html", filepath.Join(dir, "assets/l")) }, "assets/l: is a symbolic link"},
		"a link to a folder":   {func(_ *testing.T, dir string) error { return os.Symlink("/etc", filepath.Join(dir, "etc")) }, "etc: is a symbolic link"},
		"a link to nothing":    {func(_ *testing.T, dir string) error { return os.Symlink("nothing", filepath.Join(dir, "l")) }, "l: is a symbolic link"},
		"a pipe":               {func(_ *testing.T, dir string) error { return unix.Mkfifo(filepath.Join(dir, "p"), 0o666) }, "p: is a pipe"},
		"a socket":             {listen, "s: is a socket"},
		"a line break":         {add("a\nb"), "control character"},
		"an escape":            {add("\x1b[2J"), "control character"},
		"a control of C1":      {add("a\u0085b"), "control character"},
		"a backslash":          {add(`..\..\x`), "backslash"},
		"no UTF-8":             {add("gr\xf6sse.js"), "UTF-8"},
		"a folder of no UTF-8": {add("gr\xf6sse/x.js"), "UTF-8"},
		"a path too long":      {add(strings.Repeat(strings.Repeat("d", 200)+"/", 6) + "x"), "want at most 1024"},
		"two Unicode forms":    {add("caf\u00e9.js", "cafe\u0301.js"), "Unicode"},
		"a file and a folder":  {add("caf\u00e9", "cafe\u0301/x.js"), "a folder by one name and a file by the other"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := small().write(t)
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			_, err := webapp.OpenFolder(t.Context(), dir)
			var file *webapp.FileError
			if !errors.As(err, &file) || file.Name == "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("found the error %v, want one about a file that says %q", err, c.says)
			}
		})
	}
}

func add(names ...string) func(*testing.T, string) error {
	return func(t *testing.T, dir string) error {
		for _, name := range names {
			writeFile(t, filepath.Join(dir, name), []byte(name))
		}
		return nil
	}
}

func listen(t *testing.T, dir string) error {
	t.Chdir(dir) // the path of a socket must be short
	l, err := net.Listen("unix", "s")
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return err
}

func TestOpenFolderWithoutFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, ".DS_Store"), []byte("x"))
	if _, err := webapp.OpenFolder(t.Context(), dir); !errors.Is(err, webapp.ErrEmpty) {
		t.Errorf("found the error %v, want ErrEmpty", err)
	}
}

func TestOpenFolderThatIsNone(t *testing.T) {
	dir := small().write(t)
	if _, err := webapp.OpenFolder(t.Context(), filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found the error %v, want that there is none", err)
	}
	if _, err := webapp.OpenFolder(t.Context(), filepath.Join(dir, "index.html")); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// asNobody calls f as a user for whom the modes of files count, as they do not for root.
// Its thread ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			const nobody = 65534
			if _, err := unix.SetfsuidRetUid(nobody); err != nil {
				t.Error(err)
				return
			}
		}
		f()
	})
	done.Wait()
}

func TestUnreadableFile(t *testing.T) {
	dir := small().write(t)
	if err := os.Chmod(filepath.Join(dir, "assets/main.js"), 0); err != nil {
		t.Fatal(err)
	}
	f := find(t, open(t, dir), "assets/main.js")
	asNobody(t, func() {
		_, err := readAll(f)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), filepath.Join(dir, "assets/main.js")) {
			t.Errorf("found the error %v, want that main.js may not be read", err)
		}
	})
}

func TestUnreadableFolder(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "assets/main.js"), []byte("x"))
	t.Chdir(dir) // nobody may not walk to it
	if err := errors.Join(os.Chmod(".", 0o755), os.Chmod("assets", 0)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod("assets", 0o700)
	asNobody(t, func() {
		_, err := webapp.OpenFolder(t.Context(), ".")
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "assets") {
			t.Errorf("found the error %v, want that assets may not be read", err)
		}
	})
}

func TestFileThatChanges(t *testing.T) {
	const name = "assets/main.js"
	for what, change := range map[string]func(path string) error{
		"longer":  func(path string) error { return appendTo(path, "more") },
		"shorter": func(path string) error { return os.Truncate(path, 10) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"written again": func(path string) error {
			return errors.Join(os.WriteFile(path, bytes.Repeat([]byte("x"), 40*35), 0o666), os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
		},
		"another file": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, bytes.Repeat([]byte("x"), 40*35), 0o666))
		},
		"gone":     os.Remove,
		"a pipe":   func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o666)) },
		"a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o777)) },
		"a link":   func(path string) error { return errors.Join(os.Remove(path), os.Symlink("../index.html", path)) },
	} {
		t.Run(what+" before", func(t *testing.T) {
			dir := small().write(t)
			a := open(t, dir)
			if err := change(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			_, err := readAll(find(t, a, name))
			checkChanged(t, err, name)
			checkChanged(t, a.Pack(t.Context(), io.Discard, nil), name)
		})
	}
	for what, change := range map[string]func(path string) error{
		"longer":  func(path string) error { return appendTo(path, "more") },
		"shorter": func(path string) error { return os.Truncate(path, 900) },
		"written again": func(path string) error {
			return errors.Join(os.WriteFile(path, bytes.Repeat([]byte("x"), 40*35), 0o666), os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
		},
	} {
		t.Run(what+" while it is read", func(t *testing.T) {
			dir := small().write(t)
			r, err := find(t, open(t, dir), name).Open()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 700)); err != nil {
				t.Fatal(err)
			}
			if err := change(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(r)
			checkChanged(t, err, name)
		})
	}
}

// A link out of the folder that takes a file's place leads nowhere.
func TestFileThatBecomesALinkOutOfTheFolder(t *testing.T) {
	dir := small().write(t)
	a := open(t, dir)
	path := filepath.Join(dir, "assets/main.js")
	if err := errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)); err != nil {
		t.Fatal(err)
	}
	if data, err := readAll(find(t, a, "assets/main.js")); err == nil || len(data) > 0 {
		t.Errorf("found the error %v and %d bytes of another file", err, len(data))
	}
}

// What happens to files that are packed already, and to the folder, is found at the end.
func TestFolderThatChangesWhileItIsPacked(t *testing.T) {
	for what, change := range map[string]func(dir string) error{
		"index.html":     func(dir string) error { return appendTo(filepath.Join(dir, "index.html"), "more") },
		"assets/new.js":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "assets/new.js"), nil, 0o666) },
		"assets/main.js": func(dir string) error { return os.Remove(filepath.Join(dir, "assets/main.js")) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := small().write(t)
			a := open(t, dir)
			var told int64
			var mu sync.Mutex
			err := a.Pack(t.Context(), io.Discard, func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				if told += n; told == a.Size() { // the last byte was read
					if err := change(dir); err != nil {
						t.Error(err)
					}
				}
			})
			checkChanged(t, err, what)
		})
	}
}

func checkChanged(t *testing.T, err error, name string) {
	t.Helper()
	if !errors.Is(err, webapp.ErrChanged) || !strings.Contains(err.Error(), name) {
		t.Errorf("found the error %v, want ErrChanged of %s", err, name)
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
