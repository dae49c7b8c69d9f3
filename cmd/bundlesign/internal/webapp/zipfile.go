package webapp

import (
	"bufio"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// opener returns what opens an entry.
func (z *zipReader) opener(e *zipEntry) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		packed := bufio.NewReaderSize(io.NewSectionReader(z.r, e.data, int64(e.packed)), 32<<10)
		f := &zipFile{zip: z, entry: e, packed: packed, plain: packed, crc: crc32.NewIEEE(), left: int64(e.size)}
		if e.method == methodDeflate {
			f.plain = flate.NewReader(packed)
		}
		return f, nil
	}
}

// zipFile reads an entry as the directory has it.
type zipFile struct {
	zip    *zipReader
	entry  *zipEntry
	packed *bufio.Reader
	plain  io.Reader
	crc    hash.Hash32
	left   int64 // bytes that are still to come
}

// Close has nothing to close: the zip belongs to whoever opened it.
func (f *zipFile) Close() error { return nil }

func (f *zipFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.left == 0 {
		return 0, f.end()
	}
	n, err := f.plain.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	f.crc.Write(p[:n])
	if errors.Is(err, io.EOF) {
		err = nil
		if f.left > 0 {
			err = f.doubt(fmt.Sprintf("it has %d bytes, and the directory says %d", int64(f.entry.size)-f.left, f.entry.size), "")
		}
	}
	return n, f.broken(err)
}

// end returns io.EOF if the bytes were those of the directory. The compressed ones must
// end where the directory says: Android looks for the next entry where they end.
func (f *zipFile) end() error {
	switch n, err := f.plain.Read(make([]byte, 1)); {
	case n > 0:
		return f.doubt(fmt.Sprintf("it has more than the %d bytes that the directory says", f.entry.size), "a phone unpacks more than a reviewer sees")
	case err != nil && !errors.Is(err, io.EOF):
		return f.broken(err)
	}
	if _, err := f.packed.ReadByte(); err == nil {
		return f.doubt("there are more bytes than its content takes", "what they are, a reviewer does not see")
	} else if !errors.Is(err, io.EOF) {
		return f.broken(err)
	}
	if crc := f.crc.Sum32(); crc != f.entry.crc {
		return f.doubt(fmt.Sprintf("its bytes have the CRC %08x, and the directory says %08x", crc, f.entry.crc), "iOS unpacks it all the same, Android fails")
	}
	return io.EOF
}

func (f *zipFile) broken(err error) error {
	var (
		corrupt flate.CorruptInputError
		doubt   *DoubtError
	)
	switch {
	case err == nil || errors.As(err, &doubt):
		return err
	case errors.As(err, &corrupt), errors.Is(err, io.ErrUnexpectedEOF):
		return f.doubt("its compressed bytes are damaged: "+err.Error(), "")
	}
	return fmt.Errorf("reading %s: %w", f.zip.name, err)
}

func (f *zipFile) doubt(found, risk string) *DoubtError {
	return f.zip.doubt(f.entry.name, found, risk)
}
