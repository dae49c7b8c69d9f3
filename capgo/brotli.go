package capgo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
)

const (
	// BrotliMinSize is the size in bytes from which on a file of a delta update is
	// compressed.
	BrotliMinSize = 8192
	// BrotliMinGain is the number of bytes by more than which Brotli must shrink a
	// file to be used.
	BrotliMinGain = 10
	// maxBrotliWrapped is the longest stored form in bytes of a file that is not
	// compressed and yet called ".br", see [Unbrotli].
	maxBrotliWrapped = 8 << 20
)

// ErrTooLarge is in the chain of the error about a file with more plain bytes than
// the caller allows.
var ErrTooLarge = errors.New("the plain file is larger than allowed")

// The beginnings, and the one end, of what phones take for a file that is wrapped
// and not compressed.
var (
	wrapEmpty = []byte{0x1B, 0x00, 0x06}
	wrapPlain = []byte{0x0B, 0x02, 0x80}
)

const wrapEnd = 0x03

// Unbrotli writes to dst what a phone makes of src, the decrypted form of a file
// whose file_name ends in ".br", and returns the number of bytes written. More
// than limit bytes are an error with [ErrTooLarge] in its chain: a few bytes of
// Brotli can hold gigabytes.
//
// For nearly every file that is to decompress it (RFC 7932). But phones look for
// two forms first in which old tools wrote what they did not compress. A file that
// begins with 1B 00 06 or 0B 02 80 and ends with 03 is to them not Brotli: what is
// between the two is the file, even if all of it is Brotli that means something
// else. And 1B 00 06 alone is the empty file. A file that begins like one of these
// is held in memory until its end shows what it is; it may have 8 MiB.
//
// Unlike phones, which stop reading there, it refuses bytes after the end of the
// Brotli stream.
func Unbrotli(dst io.Writer, src io.Reader, limit int64) (int64, error) {
	in := bufio.NewReaderSize(src, 32<<10)
	out := &limitWriter{w: dst, left: limit}
	head, err := in.Peek(len(wrapEmpty))
	if err != nil && err != io.EOF {
		return 0, &ioError{"reading the compressed file", err}
	}
	if !bytes.Equal(head, wrapEmpty) && !bytes.Equal(head, wrapPlain) {
		return decompress(out, in)
	}
	stored, err := io.ReadAll(io.LimitReader(in, maxBrotliWrapped+1))
	switch {
	case err != nil:
		return 0, &ioError{"reading the compressed file", err}
	case len(stored) > maxBrotliWrapped:
		return 0, fmt.Errorf("begins with % x, as what phones take for uncompressed, and has more than %d bytes", head, maxBrotliWrapped)
	case BrotliMisread(stored):
		n, err := out.Write(unwrapped(stored))
		return int64(n), err
	}
	return decompress(out, bytes.NewReader(stored))
}

// BrotliMisread reports whether phones do not decompress stored, although its
// file_name ends in ".br", but take it for the wrapping of an uncompressed file,
// see [Unbrotli]. A compressor can make such bytes of a file by accident.
func BrotliMisread(stored []byte) bool {
	n := len(stored)
	if n == len(wrapEmpty) {
		return bytes.Equal(stored, wrapEmpty)
	}
	return n > len(wrapEmpty) && stored[n-1] == wrapEnd &&
		(bytes.HasPrefix(stored, wrapEmpty) || bytes.HasPrefix(stored, wrapPlain))
}

// unwrapped is the file in what is misread.
func unwrapped(stored []byte) []byte {
	if len(stored) == len(wrapEmpty) {
		return nil
	}
	return stored[len(wrapEmpty) : len(stored)-1]
}

// decompress copies without letting an error of the source or of out be taken for
// one of the format.
func decompress(out *limitWriter, src io.Reader) (int64, error) {
	in := &noteReader{r: src}
	buf := make([]byte, 32<<10)
	var total int64
	for r := brotli.NewReader(in); ; {
		n, err := r.Read(buf)
		w, writeErr := out.Write(buf[:n])
		total += int64(w)
		switch {
		case writeErr != nil:
			return total, writeErr
		case err == nil:
		case in.err != nil:
			return total, &ioError{"reading the compressed file", in.err}
		case err == io.EOF:
			return total, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return total, errors.New("the Brotli stream ends too early: it was cut short")
		default:
			return total, fmt.Errorf("is not Brotli as of RFC 7932: %w", err)
		}
	}
}

// noteReader notes the error that its source gave, unless that is the end.
type noteReader struct {
	r   io.Reader
	err error
}

func (r *noteReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// limitWriter fails before it has written more than it may.
type limitWriter struct {
	w    io.Writer
	left int64
}

func (w *limitWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, ErrTooLarge
	}
	n, err := writeAll(w.w, p)
	w.left -= int64(n)
	if err != nil {
		err = &ioError{"writing the plain file", err}
	}
	return n, err
}
