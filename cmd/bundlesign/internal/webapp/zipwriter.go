package webapp

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// The records of a zip: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header),
// 4.3.9 (data descriptor), 4.3.12 (central directory) and 4.3.16 (its end).
const (
	localMagic      = 0x04034b50
	descriptorMagic = 0x08074b50
	centralMagic    = 0x02014b50
	endMagic        = 0x06054b50

	localLen      = 30
	descriptorLen = 16
	centralLen    = 46
	endLen        = 22

	methodStore   = 0
	methodDeflate = 8

	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
)

const (
	// madeByUnix and modeFile make a regular file with mode 0644 of an entry on every
	// system (4.4.2 and 4.4.15).
	madeByUnix = 3<<8 | versionNeeded
	modeFile   = 0o100644
	// versionNeeded is 2.0, folders and Deflate (4.4.3). From 4.5 on, iOS would look for
	// ZIP64.
	versionNeeded = 20
	// dosDate is 1 January 1980, the first day there is (4.4.6); the time is 0.
	dosDate = 1<<5 | 1

	// The largest numbers of a zip without ZIP64; the next ones mean "see there".
	maxZip32   = math.MaxUint32 - 1
	maxEntries = math.MaxUint16 - 1
)

// zipWriter writes a zip, one entry after the other, in the one way that there is for
// the same entries. Not archive/zip: what it writes may change with any release of Go.
type zipWriter struct {
	w       io.Writer
	at      int64 // bytes written
	entries int
	central []byte // the directory, for the end
}

// entryHead is what the headers of an entry say.
type entryHead struct {
	name         string
	method       uint16
	flags        uint16
	crc          uint32
	packed, size int64 // bytes; both 0 while they are not known
	offset       int64 // of the local header
}

func (z *zipWriter) Write(p []byte) (int, error) {
	if z.at+int64(len(p)) > maxZip32 {
		return 0, fmt.Errorf("%w: it would have more than %d bytes", ErrTooLarge, int64(maxZip32))
	}
	n, err := z.w.Write(p)
	z.at += int64(n)
	return n, err
}

// begin writes the local header.
func (z *zipWriter) begin(h *entryHead) error {
	// Java reads names as UTF-8 without the flag as well, iOS as code page 437.
	if len(h.name) != utf8.RuneCountInString(h.name) {
		h.flags |= flagUTF8
	}
	h.offset = z.at
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, localLen+len(h.name)), localMagic)
	b = h.appendCommon(b)
	b = binary.LittleEndian.AppendUint16(b, 0) // no extra field
	_, err := z.Write(append(b, h.name...))
	return err
}

// describe writes the data descriptor: what the local header could not say.
func (z *zipWriter) describe(h *entryHead) error {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, descriptorLen), descriptorMagic)
	b = binary.LittleEndian.AppendUint32(b, h.crc)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.packed))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.size))
	_, err := z.Write(b)
	return err
}

// end notes an entry for the directory.
func (z *zipWriter) end(h *entryHead) {
	le := binary.LittleEndian
	b := le.AppendUint32(z.central, centralMagic)
	b = le.AppendUint16(b, madeByUnix)
	b = h.appendCommon(b)
	b = le.AppendUint16(b, 0) // no extra field
	b = le.AppendUint16(b, 0) // no comment
	b = le.AppendUint16(b, 0) // the first disk
	b = le.AppendUint16(b, 0) // no text, for all we know
	b = le.AppendUint32(b, modeFile<<16)
	b = le.AppendUint32(b, uint32(h.offset))
	z.central = append(b, h.name...)
	z.entries++
}

// appendCommon adds the fields that both kinds of headers have, in the same order.
func (h *entryHead) appendCommon(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, versionNeeded)
	b = le.AppendUint16(b, h.flags)
	b = le.AppendUint16(b, h.method)
	b = le.AppendUint16(b, 0) // time
	b = le.AppendUint16(b, dosDate)
	b = le.AppendUint32(b, h.crc)
	b = le.AppendUint32(b, uint32(h.packed))
	b = le.AppendUint32(b, uint32(h.size))
	return le.AppendUint16(b, uint16(len(h.name)))
}

// close writes the directory and its end.
func (z *zipWriter) close() error {
	start, size := z.at, len(z.central)
	if _, err := z.Write(z.central); err != nil {
		return err
	}
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, endLen), endMagic)
	b = le.AppendUint32(b, 0) // one disk
	b = le.AppendUint16(b, uint16(z.entries))
	b = le.AppendUint16(b, uint16(z.entries))
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(start))
	b = le.AppendUint16(b, 0) // no comment
	_, err := z.Write(b)
	return err
}
