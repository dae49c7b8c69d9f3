package webapp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// opener returns what opens a file that was listed with info.
func (f *folder) opener(name string, info fs.FileInfo) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		// A pipe that has taken its place must not be waited for.
		file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, f.changed(name, "it is gone")
		}
		if err != nil {
			return nil, f.fail(name, err)
		}
		r := &folderFile{folder: f, file: file, name: name, info: info, left: info.Size()}
		if err := r.same(); err != nil {
			_ = file.Close() // it was only opened to read
			return nil, err
		}
		return r, nil
	}
}

// folderFile reads a file of a folder as it was listed.
type folderFile struct {
	folder *folder
	file   *os.File
	name   string
	info   fs.FileInfo
	left   int64 // bytes that are still to come
}

func (r *folderFile) Close() error { return r.file.Close() }

func (r *folderFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.left == 0 {
		return 0, r.end()
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		return n, r.folder.changed(r.name, fmt.Sprintf("it had %d bytes and has %d now", r.info.Size(), r.info.Size()-r.left))
	case err != nil:
		return n, r.folder.fail(r.name, err)
	}
	return n, nil
}

// end returns io.EOF if nothing more comes and the file is as it was.
func (r *folderFile) end() error {
	switch n, err := r.file.Read(make([]byte, 1)); {
	case n > 0:
		return r.folder.changed(r.name, fmt.Sprintf("it had %d bytes and has more now", r.info.Size()))
	case !errors.Is(err, io.EOF):
		return r.folder.fail(r.name, err)
	}
	if err := r.same(); err != nil {
		return err
	}
	return io.EOF
}

func (r *folderFile) same() error {
	now, err := r.file.Stat()
	if err != nil {
		return r.folder.fail(r.name, err)
	}
	if what := difference(r.info, now); what != "" {
		return r.folder.changed(r.name, what)
	}
	return nil
}
