package webapp

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// adjoin reads the local headers and checks that the entries lie side by side, from the
// beginning of the zip to its directory. Android stops without a word at the first bytes
// that are no header, and knows nothing of the directory.
func (z *zipReader) adjoin(entries []*zipEntry, start int64) error {
	byOffset := slices.Clone(entries)
	slices.SortStableFunc(byOffset, func(a, b *zipEntry) int { return cmp.Compare(a.offset, b.offset) })
	var at int64
	for _, e := range byOffset {
		switch {
		case e.offset < at:
			return z.doubt(e.name, "it overlaps with another entry", "")
		case e.offset > at:
			return z.doubt(e.name, fmt.Sprintf("found %d bytes before it that the directory does not know", e.offset-at), "Android unpacks what they are, or nothing from there on")
		}
		next, err := z.localHeader(e, start)
		if err != nil {
			return err
		}
		at = next
	}
	if at != start {
		return z.doubt("", fmt.Sprintf("found %d bytes before its directory that it does not know", start-at), "Android unpacks what they are")
	}
	return nil
}

// localHeader checks the header of an entry, and what is behind its bytes, against the
// directory. It returns where the next entry must begin. The directory begins at limit.
func (z *zipReader) localHeader(e *zipEntry, limit int64) (next int64, err error) {
	const disagree = "Android goes by the one, iOS and most tools by the other"
	if e.offset+localLen > limit {
		return 0, z.doubt(e.name, "it begins where the directory is", "")
	}
	b, err := z.read(e.offset, localLen)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != localMagic {
		return 0, z.doubt(e.name, fmt.Sprintf("found no header at %d, where the directory has it", e.offset), "Android unpacks nothing from there on")
	}
	flags, method := le.Uint16(b[6:]), le.Uint16(b[8:])
	crc, packed, size := le.Uint32(b[14:]), le.Uint32(b[18:]), le.Uint32(b[22:])
	nameLen, extraLen := int64(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
	e.data = e.offset + localLen + nameLen + extraLen
	next = e.data + int64(e.packed)
	if next > limit {
		return 0, z.doubt(e.name, "it overlaps with the directory", "")
	}
	rest, err := z.read(e.offset+localLen, nameLen+extraLen)
	if err != nil {
		return 0, err
	}
	if name := string(rest[:nameLen]); name != e.name {
		return 0, z.doubt(e.name, fmt.Sprintf("found the name %q in its header", name), disagree)
	}
	if err := z.checkExtra(e, rest[nameLen:]); err != nil {
		return 0, err
	}
	if flags&^flagsHarmless != e.flags&^flagsHarmless || method != e.method {
		return 0, z.doubt(e.name, "its header and the directory do not say the same about how it is stored", disagree)
	}
	same := crc == e.crc && packed == e.packed && size == e.size
	if e.flags&flagDescriptor == 0 {
		if !same {
			return 0, z.doubt(e.name, fmt.Sprintf("its header says %d bytes from %d, and the directory %d from %d, or another CRC", size, packed, e.size, e.packed), disagree)
		}
		return next, nil
	}
	if !same && (crc != 0 || packed != 0 || size != 0) {
		return 0, z.doubt(e.name, "its header has sizes and a CRC of its own", disagree)
	}
	return z.descriptor(e, next, limit)
}

// descriptor checks the sizes behind the bytes of an entry.
func (z *zipReader) descriptor(e *zipEntry, at, limit int64) (next int64, err error) {
	if at+descriptorLen > limit {
		return 0, z.doubt(e.name, "the sizes behind its bytes overlap with the directory", "")
	}
	found, err := z.read(at, descriptorLen)
	if err != nil {
		return 0, err
	}
	want := binary.LittleEndian.AppendUint32(nil, descriptorMagic)
	want = binary.LittleEndian.AppendUint32(want, e.crc)
	want = binary.LittleEndian.AppendUint32(want, e.packed)
	want = binary.LittleEndian.AppendUint32(want, e.size)
	if !bytes.Equal(found, want) {
		return 0, z.doubt(e.name, "behind its bytes there is not what the directory says about sizes and CRC", "Android goes by the one, iOS by the other")
	}
	return at + descriptorLen, nil
}
