// Package infile opens files to read that others may have put where they lie, as
// those of a project and those that the result of a build names.
//
// Its invariant is that nothing of them is waited for and nothing is without end:
// a pipe, a terminal or a device is refused, whatever took the place of the file and
// when. Links are followed; what counts is where they lead.
package infile

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Check reports whether name is a regular file, without opening it.
func Check(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return regular(name, info)
}

// Open opens a regular file.
func Open(name string) (*os.File, error) {
	// A pipe would be waited for until somebody writes to it. What is opened is looked
	// at, because it may be another file than a moment ago. To a regular file the flags
	// mean nothing.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(name, info)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, err
	}
	return f, nil
}

// OpenArgument opens a regular file or, by the name that a shell gives to <(...) and
// to the standard input, what the user has opened for this process.
func OpenArgument(name string) (*os.File, error) {
	if strings.HasPrefix(name, "/dev/fd/") || strings.HasPrefix(name, "/proc/self/fd/") || name == "/dev/stdin" {
		return os.Open(name)
	}
	return Open(name)
}

func regular(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", name)
	}
	return nil
}
