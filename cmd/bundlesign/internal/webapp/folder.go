package webapp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// litter is what is left out of a folder: what macOS and git put there themselves,
// and what is never part of an app. All else is packed, as the official CLI does.
var litter = []string{".DS_Store", ".git"}

// OpenFolder lists the files in the folder dir and below it. Symbolic links, devices,
// pipes and sockets, names that a phone would refuse, and two names that are one to a phone are
// errors. They are of type [FileError], with [ErrEmpty] inside if there is no file at
// all.
func OpenFolder(ctx context.Context, dir string) (*App, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &FileError{App: dir, Err: bare(err)}
	}
	// root is closed when the last file of the app is forgotten.
	f := &folder{path: dir, root: root}
	l, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	if len(l.names) == 0 {
		return nil, &FileError{App: dir, Err: ErrEmpty}
	}
	if c := findClash(l.names); c != nil {
		return nil, &FileError{dir, c.name, fmt.Errorf("found %q as well: %s", c.other, c.why)}
	}
	a := &App{Path: dir, Skipped: l.skipped}
	for _, name := range l.names {
		info := l.infos[name]
		a.Files = append(a.Files, File{Name: name, Size: info.Size(), Open: f.opener(name, info)})
	}
	a.again = func(ctx context.Context) error { return f.compare(ctx, l) }
	return a, nil
}

// folder is the folder of an app. Everything is opened below root, which no link
// leads out of.
type folder struct {
	path string
	root *os.Root
}

// listing is what a folder has.
type listing struct {
	names   []string // sorted bytewise
	infos   map[string]fs.FileInfo
	skipped []string
}

func (f *folder) list(ctx context.Context) (*listing, error) {
	l := &listing{infos: make(map[string]fs.FileInfo)}
	if err := f.listInto(ctx, l, "", nil); err != nil {
		return nil, err
	}
	slices.Sort(l.names)
	slices.Sort(l.skipped)
	return l, nil
}

// listInto adds what is in the folder name, which is not a link and was as info says.
func (f *folder) listInto(ctx context.Context, l *listing, name string, info fs.FileInfo) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// A pipe that has taken its place must not be waited for.
	d, err := f.root.OpenFile(path.Join(".", name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return f.fail(name, err)
	}
	defer d.Close()
	if now, err := d.Stat(); err != nil {
		return f.fail(name, err)
	} else if info != nil && !os.SameFile(info, now) {
		return f.changed(name, "it is another folder now")
	}
	entries, err := d.ReadDir(-1)
	if err != nil {
		return f.fail(name, err)
	}
	for _, e := range entries {
		child := path.Join(name, e.Name())
		if slices.Contains(litter, e.Name()) {
			l.skipped = append(l.skipped, child)
			continue
		}
		if problem := nameProblem(child); problem != "" {
			return &FileError{f.path, child, errors.New(problem)}
		}
		// Not e.Info, which asks by path and not below root.
		info, err := f.root.Lstat(child)
		if err != nil {
			return f.fail(child, err)
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			if err := f.listInto(ctx, l, child, info); err != nil {
				return err
			}
		case mode.IsRegular():
			l.names = append(l.names, child)
			l.infos[child] = info
		default:
			return &FileError{f.path, child, fmt.Errorf("is %s, want files and folders only", kind(mode))}
		}
	}
	return nil
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// compare lists the folder again and tells the first difference.
func (f *folder) compare(ctx context.Context, before *listing) error {
	now, err := f.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range before.names {
		if info := now.infos[name]; info == nil {
			return f.changed(name, "it is gone")
		} else if what := difference(before.infos[name], info); what != "" {
			return f.changed(name, what)
		}
	}
	for _, name := range now.names {
		if before.infos[name] == nil {
			return f.changed(name, "it is new")
		}
	}
	return nil
}

// difference says in what a file is not what it was, or nothing.
func difference(before, now fs.FileInfo) string {
	switch {
	case !os.SameFile(before, now):
		return "it is another file now"
	case !now.Mode().IsRegular():
		return "it is " + kind(now.Mode()) + " now"
	case before.Size() != now.Size():
		return fmt.Sprintf("it had %d bytes and has %d now", before.Size(), now.Size())
	case !before.ModTime().Equal(now.ModTime()):
		return "it was written again"
	}
	return ""
}

func (f *folder) fail(name string, err error) error {
	return &FileError{f.path, name, bare(err)}
}

func (f *folder) changed(name, what string) error {
	return &FileError{f.path, name, fmt.Errorf("%w (%s)", ErrChanged, what)}
}

// bare is an error without the operation and the path, which FileError says.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
