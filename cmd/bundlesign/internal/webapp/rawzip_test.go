package webapp_test

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"slices"
	"testing"
)

// rawEntry is an entry as a test wants it, wrong or right.
type rawEntry struct {
	name    string
	data    []byte // plain
	method  uint16
	flags   uint16
	mode    uint32 // of Unix; 0: a file
	extra   []byte
	before  []byte       // junk before the header
	packed  []byte       // in place of what compressing data gives
	behind  []byte       // in place of the data descriptor
	local   func([]byte) // spoils the 30 bytes of the local header and what follows
	central func([]byte) // spoils the 46 bytes of the directory's header and what follows
}

// rawZip puts a zip together.
type rawZip struct {
	entries []rawEntry
	before  []byte       // junk before the directory
	end     func([]byte) // spoils the end record
	behind  []byte       // what follows it
}

func (z rawZip) bytes(t testing.TB) []byte {
	t.Helper()
	var out, directory []byte
	for _, e := range z.entries {
		if e.packed == nil {
			e.packed = e.data
			if e.method == 8 {
				e.packed = deflate(t, e.data)
			}
		}
		if e.mode == 0 {
			e.mode = 0o100644
		}
		crc := crc32.ChecksumIEEE(e.data)
		out = append(out, e.before...)
		offset := len(out)
		common := func(described bool) []byte {
			c, packed, size := crc, len(e.packed), len(e.data)
			if described {
				c, packed, size = 0, 0, 0
			}
			b := numbers16(20, e.flags, e.method, 0, 33)
			b = append(b, numbers32(c, uint32(packed), uint32(size))...)
			return append(b, numbers16(uint16(len(e.name)), uint16(len(e.extra)))...)
		}
		h := append(numbers32(0x04034b50), common(e.flags&8 != 0)...)
		h = slices.Concat(h, []byte(e.name), e.extra)
		if e.local != nil {
			e.local(h)
		}
		out = slices.Concat(out, h, e.packed)
		switch {
		case e.behind != nil:
			out = append(out, e.behind...)
		case e.flags&8 != 0:
			out = append(out, numbers32(0x08074b50, crc, uint32(len(e.packed)), uint32(len(e.data)))...)
		}
		h = slices.Concat(numbers32(0x02014b50), numbers16(3<<8|20), common(false), numbers16(0, 0, 0), numbers32(e.mode<<16, uint32(offset)))
		h = slices.Concat(h, []byte(e.name), e.extra)
		if e.central != nil {
			e.central(h)
		}
		directory = append(directory, h...)
	}
	out = append(out, z.before...)
	n := uint16(len(z.entries))
	end := slices.Concat(numbers32(0x06054b50), numbers16(0, 0, n, n), numbers32(uint32(len(directory)), uint32(len(out))), numbers16(0))
	if z.end != nil {
		z.end(end)
	}
	return slices.Concat(out, directory, end, z.behind)
}

func numbers16(v ...uint16) (b []byte) {
	for _, n := range v {
		b = le.AppendUint16(b, n)
	}
	return b
}

func numbers32(v ...uint32) (b []byte) {
	for _, n := range v {
		b = le.AppendUint32(b, n)
	}
	return b
}

func deflate(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put16 and put32 set a field of a header.
func put16(at int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[at:], v) } }

func put32(at int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[at:], v) } }

// rename puts another name of the same length in place of a name.
func rename(from, to string) func([]byte) {
	return func(b []byte) { copy(b[bytes.Index(b, []byte(from)):], to) }
}
