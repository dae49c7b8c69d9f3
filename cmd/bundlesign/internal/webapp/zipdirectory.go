package webapp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// zipEntry is an entry as the directory has it.
type zipEntry struct {
	name         string // a folder's ends with "/"
	method       uint16
	flags        uint16
	crc          uint32
	packed, size uint32 // bytes
	offset       int64  // of the local header
	data         int64  // offset of its bytes; known once the local header is read
}

// What iOS makes of an entry (4.4.2 and 4.4.15; Entry.type of ZIPFoundation): by the
// mode, if it was made on one of these systems and has one, else by the name.
const (
	systemDOS  = 0
	systemUnix = 3
	systemOSX  = 19

	modeKind   = 0o170000
	modeFolder = 0o040000
	modeIsFile = 0o100000
	modeLink   = 0o120000
	dosFolder  = 0x10
)

// Bits of the flags that change nothing about what is read: how hard the compressor
// tried (4.4.4, bits 1 and 2).
const flagsHarmless = 1<<1 | 1<<2

// emptyDeflated is how many bytes Deflate makes of none.
const emptyDeflated = 2

// Extra fields (4.5.2, 4.6.9).
const (
	extraZip64       = 0x0001
	extraUnicodePath = 0x7075
)

// directory reads the directory, which says what is in the zip. It returns the entries
// in its order, and where it begins.
func (z *zipReader) directory() (entries []*zipEntry, start int64, err error) {
	end, count, start, err := z.end()
	if err != nil {
		return nil, 0, err
	}
	in := bufio.NewReader(io.NewSectionReader(z.r, start, end-start))
	for range count {
		e, err := z.centralHeader(in)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, 0, z.doubt("", fmt.Sprintf("its directory ends after %d entries, want %d", len(entries), count), "")
		}
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, e)
	}
	if n, err := io.Copy(io.Discard, in); err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", z.name, err)
	} else if n > 0 {
		return nil, 0, z.doubt("", fmt.Sprintf("found %d bytes between the directory and its end", n), "what they are, a reviewer does not see")
	}
	return entries, start, nil
}

// end finds the end record: where it is, how many entries there are, and where the
// directory begins.
func (z *zipReader) end() (at int64, count int, start int64, err error) {
	// It is the last thing in the file, but for a comment of up to 65,535 bytes.
	tail := min(z.size, endLen+math.MaxUint16)
	b, err := z.read(z.size-tail, tail)
	if err != nil {
		return 0, 0, 0, err
	}
	magic := binary.LittleEndian.AppendUint32(nil, endMagic)
	i := bytes.LastIndex(b, magic)
	if i < 0 || len(b)-i < endLen {
		if head, err := z.read(0, min(4, z.size)); err == nil && !bytes.Equal(head, binary.LittleEndian.AppendUint32(nil, localMagic)) {
			return 0, 0, 0, fmt.Errorf("%s: %w", z.name, ErrNoZip)
		}
		return 0, 0, 0, z.doubt("", "it is not all of a zip: found no end of a directory", "")
	}
	at, b = z.size-tail+int64(i), b[i:]
	le := binary.LittleEndian
	disks, here, all := le.Uint32(b[4:]), le.Uint16(b[8:]), le.Uint16(b[10:])
	length, offset, comment := le.Uint32(b[12:]), le.Uint32(b[16:]), le.Uint16(b[20:])
	switch {
	case int(comment) != len(b)-endLen:
		return 0, 0, 0, z.doubt("", fmt.Sprintf("found %d bytes behind its end, want the %d of its comment", len(b)-endLen, comment), "it may have a second directory, and other readers see that one")
	case here == math.MaxUint16 || length == math.MaxUint32 || offset == math.MaxUint32:
		return 0, 0, 0, z.doubt("", "it has the ZIP64 extension; want fewer than 65,535 entries and 4 GiB", "not every phone reads it")
	case disks != 0 || here != all:
		return 0, 0, 0, z.doubt("", "it is one of several parts", "")
	case int64(offset)+int64(length) != at:
		return 0, 0, 0, z.doubt("", fmt.Sprintf("its directory of %d bytes is said to begin at %d, and its end is at %d", length, offset, at), "readers that look for it in another way see something else")
	}
	return at, int(all), int64(offset), nil
}

func (z *zipReader) centralHeader(in io.Reader) (*zipEntry, error) {
	var b [centralLen]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(b[:]) != centralMagic {
		return nil, z.doubt("", "found something else in its directory", "")
	}
	rest := make([]byte, int(le.Uint16(b[28:]))+int(le.Uint16(b[30:]))+int(le.Uint16(b[32:])))
	if _, err := io.ReadFull(in, rest); err != nil {
		return nil, err
	}
	name, rest := rest[:le.Uint16(b[28:])], rest[le.Uint16(b[28:]):]
	e := &zipEntry{
		name: string(name), flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]),
		crc: le.Uint32(b[16:]), packed: le.Uint32(b[20:]), size: le.Uint32(b[24:]),
		offset: int64(le.Uint32(b[42:])),
	}
	if le.Uint16(b[34:]) != 0 {
		return nil, z.doubt(e.name, "it is said to be in another part of the zip", "")
	}
	if err := z.checkEntry(e); err != nil {
		return nil, err
	}
	if err := z.checkExtra(e, rest[:le.Uint16(b[30:])]); err != nil {
		return nil, err
	}
	return e, z.checkKind(e, le.Uint16(b[4:])>>8, le.Uint32(b[38:]))
}

// checkEntry checks what all readers must understand in the same way.
func (z *zipReader) checkEntry(e *zipEntry) error {
	folder := strings.HasSuffix(e.name, "/")
	if problem := nameProblem(strings.TrimSuffix(e.name, "/")); problem != "" {
		return z.doubt(e.name, problem, "")
	}
	switch unknown := e.flags &^ (flagsHarmless | flagDescriptor | flagUTF8); {
	case unknown&flagEncrypted != 0:
		return z.doubt(e.name, "it is encrypted with the password of the zip", "no phone can read it")
	case unknown != 0:
		return z.doubt(e.name, fmt.Sprintf("found the flags %#04x", unknown), "no phone knows them")
	case e.method != methodStore && e.method != methodDeflate:
		return z.doubt(e.name, fmt.Sprintf("found the compression method %d, want 8 (Deflate) or 0 (none)", e.method), "no phone can read it")
	case e.method == methodStore && e.flags&flagDescriptor != 0:
		return z.doubt(e.name, "it is not compressed, and its size is behind it only", "Android reads nothing of it, or refuses the zip")
	case e.method == methodStore && e.packed != e.size:
		return z.doubt(e.name, fmt.Sprintf("it is not compressed, and has %d bytes or %d", e.packed, e.size), "phones differ in which they read")
	case e.packed == math.MaxUint32 || e.size == math.MaxUint32 || e.offset == math.MaxUint32:
		return z.doubt(e.name, "it has the ZIP64 extension", "not every phone reads it")
	case len(e.name) != utf8.RuneCountInString(e.name) && e.flags&flagUTF8 == 0:
		return z.doubt(e.name, "its name is not ASCII and not marked as UTF-8", "iOS takes it for another name than Android")
	case folder && (e.size != 0 || e.packed > emptyDeflated):
		return z.doubt(e.name, fmt.Sprintf("it is a folder and has %d bytes, compressed %d", e.size, e.packed), "what they are, a reviewer does not see")
	}
	return nil
}

// checkExtra looks for extra fields that change what the entry is.
func (z *zipReader) checkExtra(e *zipEntry, extra []byte) error {
	le := binary.LittleEndian
	for len(extra) > 0 {
		if len(extra) < 4 || len(extra)-4 < int(le.Uint16(extra[2:])) {
			// Tools that align files in a zip leave up to three zero bytes.
			if len(extra) < 4 && len(bytes.Trim(extra, "\x00")) == 0 {
				return nil
			}
			return z.doubt(e.name, "its extra fields are damaged", "")
		}
		id, data := le.Uint16(extra), extra[4:4+le.Uint16(extra[2:])]
		extra = extra[4+len(data):]
		switch {
		case id == extraZip64:
			return z.doubt(e.name, "it has the ZIP64 extension", "not every phone reads it")
		case id == extraUnicodePath && (len(data) < 5 || string(data[5:]) != e.name):
			return z.doubt(e.name, "found another name in its extra fields", "unzip shows that one, and phones use this one")
		}
	}
	return nil
}

// checkKind refuses what iOS would not make a file, or a folder, as the name says.
func (z *zipReader) checkKind(e *zipEntry, system uint16, attributes uint32) error {
	folder, isFolder := strings.HasSuffix(e.name, "/"), false
	switch system {
	case systemUnix, systemOSX:
		switch mode := attributes >> 16 & modeKind; mode {
		case 0:
			isFolder = folder
		case modeFolder:
			isFolder = true
		case modeIsFile:
		case modeLink:
			return z.doubt(e.name, "it is a symbolic link", "iOS makes a link of it, and Android a file")
		default:
			return z.doubt(e.name, fmt.Sprintf("it is neither file nor folder (mode %#o)", mode), "")
		}
	case systemDOS:
		isFolder = folder || attributes&dosFolder != 0
	default:
		isFolder = folder
	}
	if folder != isFolder {
		return z.doubt(e.name, `its attributes and the "/" at the end of its name, or none, do not say the same`, "it is a folder on one kind of phone and a file on the other")
	}
	return nil
}
