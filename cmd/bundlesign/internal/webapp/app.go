// Package webapp reads a built web app, from a folder or from a zip, and packs it
// into the one zip that its files can be packed into.
//
// Its invariant: every phone, and everybody who looks at an app here, sees the same
// files with the same bytes. What would break that is an error that names the file,
// and never passed over: a file that changes while it is read, a link, a name that
// means something else on another system, a zip of which readers that are all right
// see different things.
//
// It assumes that whoever can write to the folder is not an enemy that races it
// within one tick of the file system's clock: a file that is written twice in a tick
// and keeps its size looks unchanged. Links that are put in its way do not lead it
// out of the folder, though.
package webapp

import (
	"context"
	"io"
)

// A File is one file of an app.
type File struct {
	Name string // relative to the app, "/" between parts
	Size int64  // bytes
	// Open reads the content. The reader gives Size bytes and then io.EOF; it fails
	// with [ErrChanged], or a [DoubtError] for a zip, if the file is not what it was
	// when it was listed. Only who reads until io.EOF knows that it is. Several
	// readers may be open at a time.
	Open func() (io.ReadCloser, error)
}

// An App is a built web app: its files, as they were when it was opened. Its methods
// may be called at the same time.
type App struct {
	Path    string   // of the folder or zip, for messages
	Files   []File   // sorted by Name, bytewise; at least one
	Skipped []string // left out of a folder (.DS_Store, .git), for messages

	folders []string // that a zip names on their own, without the slash at the end
	// again compares the files with what is there now. It is nil where reading them
	// tells all.
	again func(ctx context.Context) error
}

// Size returns how many bytes the files have together.
func (a *App) Size() (n int64) {
	for _, f := range a.Files {
		n += f.Size
	}
	return n
}

// Unchanged checks that a folder has still the files that it had when it was opened,
// by their names, sizes and times. The error is an [ErrChanged] in a [FileError].
// [App.Pack] calls it when it is done; so should whoever reads the files otherwise.
func (a *App) Unchanged(ctx context.Context) error {
	if a.again == nil {
		return nil
	}
	return a.again(ctx)
}

// Verify reads every file to its end, on as many processors as there are, and so
// finds what is only seen then: a file that changed, bytes of a zip that are not what
// its directory says. progress, which may be nil, gets the number of bytes that were
// read since it was called last, from several goroutines.
func (a *App) Verify(ctx context.Context, progress func(bytes int64)) error {
	err := a.each(ctx, func(ctx context.Context, f *File) error {
		r, err := f.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, &meter{ctx: ctx, r: r, tell: progress})
		return err
	})
	if err != nil {
		return err
	}
	return a.Unchanged(ctx)
}
