package webapp

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Limits is what a zip may be when it is unpacked.
type Limits struct {
	Bytes int64 // of all files together
	// Ratio is how many times larger than the zip the files may be together. It
	// counts once they have more than FreeBytes.
	Ratio     int64
	FreeBytes int64
}

// DefaultLimits are more than any web app needs on a phone.
func DefaultLimits() Limits {
	return Limits{Bytes: math.MaxUint32, Ratio: 100, FreeBytes: 256 << 20}
}

// OpenZip is [OpenZipWithin] with the [DefaultLimits].
func OpenZip(name string, r io.ReaderAt, size int64) (*App, error) {
	return OpenZipWithin(name, r, size, DefaultLimits())
}

// OpenZipWithin lists the files in a zip of size bytes, whoever made it. name is for
// messages.
//
// It takes no zip of which two readers could see different things. Android reads a zip
// from its beginning to its end (java.util.zip.ZipInputStream), iOS by the directory at
// its end (ZIPFoundation), as most tools do that a reviewer has. So each header must say
// what the directory says, and the entries must lie side by side with nothing before,
// between or behind them that one of the two would miss. The error is a [DoubtError], or an
// [ErrEmpty].
//
// The bytes of the files are not read here: what is wrong with them, the readers of
// the files tell, and [App.Verify] of all. They never give more bytes than the directory
// says.
func OpenZipWithin(name string, r io.ReaderAt, size int64, limits Limits) (*App, error) {
	z := &zipReader{name: name, r: r, size: size}
	entries, start, err := z.directory()
	if err != nil {
		return nil, err
	}
	if err := z.adjoin(entries, start); err != nil {
		return nil, err
	}
	if err := z.within(entries, limits); err != nil {
		return nil, err
	}
	a := &App{Path: name}
	var names []string
	for _, e := range entries {
		if folder, is := strings.CutSuffix(e.name, "/"); is {
			a.folders = append(a.folders, folder)
			names = append(names, folder+itself)
			continue
		}
		names = append(names, e.name)
		a.Files = append(a.Files, File{Name: e.name, Size: int64(e.size), Open: z.opener(e)})
	}
	slices.Sort(names)
	if len(a.Files) == 0 {
		return nil, &FileError{App: name, Err: ErrEmpty}
	}
	if c := findClash(names); c != nil {
		return nil, z.doubt(strings.TrimSuffix(c.name, "."), fmt.Sprintf("found %q as well: %s", strings.TrimSuffix(c.other, "."), c.why), "")
	}
	slices.SortFunc(a.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
	return a, nil
}

// itself stands for a folder that has an entry of its own, as if it were a file in it: no
// file has that name.
const itself = "/."

// zipReader reads a zip.
type zipReader struct {
	name string
	r    io.ReaderAt
	size int64
}

func (z *zipReader) doubt(entry, found, risk string) *DoubtError {
	return &DoubtError{Zip: z.name, Entry: entry, Found: found, Risk: risk}
}

// read reads n bytes at an offset.
func (z *zipReader) read(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(z.r, at, n), b); err != nil {
		return nil, fmt.Errorf("reading %s: %w", z.name, err)
	}
	return b, nil
}

// within refuses what would be too much when it is unpacked.
func (z *zipReader) within(entries []*zipEntry, l Limits) error {
	var total int64
	for _, e := range entries {
		total += int64(e.size) // at most 2^16 times 2^32
	}
	if total > l.Bytes {
		return z.doubt("", fmt.Sprintf("its files have %d bytes when they are unpacked, want at most %d", total, l.Bytes), "a phone would fill up")
	}
	if total > l.FreeBytes && total/max(l.Ratio, 1) > z.size {
		return z.doubt("", fmt.Sprintf("its files have %d bytes when they are unpacked, more than %d times what the zip has", total, l.Ratio), "a phone would fill up")
	}
	return nil
}
