package policy

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// wireReader takes apart the binary encoding of SSH (RFC 4251, section 5). It never
// reads past its end and copies nothing.
type wireReader struct{ rest []byte }

// take returns the next n bytes.
func (r *wireReader) take(field string, n int) ([]byte, error) {
	if len(r.rest) < n {
		return nil, fmt.Errorf("found %d bytes where the %s needs %d; it was cut off", len(r.rest), field, n)
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken, nil
}

// uint32 returns the next number.
func (r *wireReader) uint32(field string) (uint32, error) {
	b, err := r.take(field, 4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// string returns the next string: its length and that many bytes.
func (r *wireReader) string(field string) ([]byte, error) {
	n, err := r.uint32("length of the " + field)
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(len(r.rest)) {
		return nil, fmt.Errorf("found %d bytes where the %s needs %d; it was cut off", len(r.rest), field, n)
	}
	return r.take(field, int(n))
}

// end says what is left over.
func (r *wireReader) end(what string) error {
	if len(r.rest) > 0 {
		return fmt.Errorf("found %d bytes after the %s, want none", len(r.rest), what)
	}
	return nil
}

// maxQuoted is how much of what others wrote stands in an error, in bytes.
const maxQuoted = 64

// quote shows what was found, printable and of bounded length.
func quote(found string) string {
	if len(found) > maxQuoted {
		return strconv.QuoteToASCII(found[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(found)
}
