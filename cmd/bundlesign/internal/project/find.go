package project

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// maxFileSize is how long the file can be, in bytes.
const maxFileSize = 64 << 10

// Find looks for bundlesign.yaml in dir and in the folders above it, up to the root of the repository (where .git
// is). It returns nil if there is none. A file above dir that somebody else put there is an error: in a folder such
// as /tmp anybody could say how updates are made.
func Find(dir string) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	start, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	for at := dir; ; at = filepath.Dir(at) {
		name := filepath.Join(at, Name)
		info, err := os.Lstat(name)
		switch {
		case err == nil && !owned(info, start):
			return nil, fmt.Errorf("%s: found a file of another user than you, root and the owner of %s; want one that none of them can be surprised by: remove it, or copy it here", name, dir)
		case err == nil:
			return Load(name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil || at == filepath.Dir(at) {
			return nil, nil
		}
	}
}

// owned reports whether a file belongs to the user, to root or to the owner of the folder where the search began.
func owned(file, dir fs.FileInfo) bool {
	f, ok1 := file.Sys().(*syscall.Stat_t)
	d, ok2 := dir.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && (f.Uid == 0 || f.Uid == uint32(os.Geteuid()) || f.Uid == d.Uid)
}

// Load reads the file of that name. All that is wrong with what it says is an [Errors].
func Load(name string) (*Project, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	f, err := infile.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return parse(name, data)
}
