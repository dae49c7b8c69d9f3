package leftover

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of a search.
const (
	maxFileSize = 1 << 20 // bytes; what is longer holds more than a key
	maxFiles    = 100_000
)

// Disk is what was found in the files of a project.
type Disk struct {
	Keys     []Key
	Files    int      // that were read
	Unread   []string // that could not be
	Complete bool     // there were not too many
}

// skipped are folders that others fill.
var skipped = [...]string{"node_modules", ".git", "Pods", ".gradle", "DerivedData"}

// OnDisk searches the files below dir.
func OnDisk(ctx context.Context, dir string) (*Disk, error) {
	d := &Disk{Complete: true}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && name == dir:
			return err
		case err != nil:
			d.Unread = append(d.Unread, relative(dir, name))
			return nil
		case e.IsDir() && name != dir && slices.Contains(skipped[:], e.Name()):
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		case d.Files == maxFiles:
			d.Complete = false
			return fs.SkipAll
		}
		data, err := read(name)
		if err != nil {
			d.Unread = append(d.Unread, relative(dir, name))
			return nil
		}
		d.Files++
		for _, k := range scan(data) {
			k.Where = relative(dir, name)
			d.Keys = append(d.Keys, k)
		}
		return nil
	})
	return d, err
}

func relative(dir, name string) string {
	if rel, err := filepath.Rel(dir, name); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return name
}

// read returns the content of a small regular file, and nothing of a long one. The file may have been replaced by a
// link or a pipe since it was listed.
func read(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > maxFileSize {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(f, maxFileSize))
}
