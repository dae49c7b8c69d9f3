package webapp

import (
	"errors"
	"fmt"
	"path/filepath"
)

var (
	// ErrChanged is why a file cannot be read: it is not any more what it was when it
	// was listed.
	ErrChanged = errors.New("changed while it was read; let the build finish first")

	// ErrEmpty is why a folder or a zip is no app: there is no file in it.
	ErrEmpty = errors.New("has no files, want a built web app")

	// ErrTooLarge is why an app cannot be packed: a zip without the ZIP64 extension
	// cannot hold it.
	ErrTooLarge = errors.New("too large for the zip of an update")
)

// A FileError is a file that cannot be part of an app, or cannot be read.
type FileError struct {
	App  string // the folder or zip
	Name string // in it; "" is the app itself
	Err  error  // why
}

func (e *FileError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: %v", e.App, e.Err)
	}
	return fmt.Sprintf("%s: %v", filepath.Join(e.App, e.Name), e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// ErrNoZip is about what no phone would take for a zip: it neither begins nor ends as
// one.
var ErrNoZip = errors.New("it is no zip")

// A DoubtError is a zip of which a person who looks at it and a phone, or two phones,
// could see different things.
type DoubtError struct {
	Zip   string // its path
	Entry string // the file in it, or "" where it is about all of the zip
	Found string // what is wrong
	Risk  string // what a phone or a person would make of it
}

func (e *DoubtError) Error() string {
	text := e.Zip + ": "
	if e.Entry != "" {
		text += fmt.Sprintf("%q: ", e.Entry)
	}
	text += e.Found
	if e.Risk != "" {
		text += "; " + e.Risk
	}
	return text
}
