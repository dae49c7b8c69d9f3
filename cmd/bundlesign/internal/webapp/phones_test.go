package webapp_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// The two models of this file stand for the phones, on which no test runs. They are
// written after the code there, in the order in which that reads, with what it checks and
// what it does not.

var le = binary.LittleEndian

// modelOfAndroid unpacks as CapgoUpdater.unzip with java.util.zip.ZipInputStream: from
// the beginning, header by header, up to the first bytes that are none.
func modelOfAndroid(zip []byte) (tree, error) {
	files := make(tree)
	in := bufio.NewReader(bytes.NewReader(zip))
	for {
		head := make([]byte, 30)
		if _, err := io.ReadFull(in, head); err != nil || le.Uint32(head) != 0x04034b50 {
			return files, nil // the end, as far as Java is concerned
		}
		flags, method := le.Uint16(head[6:]), le.Uint16(head[8:])
		crc, packed, size := le.Uint32(head[14:]), le.Uint32(head[18:]), le.Uint32(head[22:])
		rest := make([]byte, int(le.Uint16(head[26:]))+int(le.Uint16(head[28:])))
		if _, err := io.ReadFull(in, rest); err != nil {
			return nil, err
		}
		name := string(rest[:le.Uint16(head[26:])])
		if flags&1 != 0 {
			return nil, errors.New("encrypted ZIP entry not supported")
		}
		var data []byte
		var err error
		switch {
		case method == 8:
			data, err = inflateOne(in, flags&8 != 0, crc, packed, size)
		case method != 0:
			err = errors.New("invalid compression method")
		case flags&8 != 0:
			err = errors.New("only DEFLATED entries can have EXT descriptor")
		default:
			data = make([]byte, size)
			if _, err = io.ReadFull(in, data); err == nil && size > 0 && crc32.ChecksumIEEE(data) != crc {
				err = errors.New("invalid entry CRC")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !strings.HasSuffix(name, "/") {
			files[name] = data
		}
	}
}

// inflateOne reads a Deflated entry up to where its stream ends, and what is behind it.
func inflateOne(in *bufio.Reader, described bool, crc, packed, size uint32) ([]byte, error) {
	counted := &countingBytes{in: in}
	data, err := io.ReadAll(io.LimitReader(flate.NewReader(counted), 1<<26))
	if err != nil {
		return nil, err
	}
	if described {
		b, err := in.Peek(16)
		if err != nil {
			return nil, err
		}
		if le.Uint32(b) == 0x08074b50 {
			b = b[4:]
			_, _ = in.Discard(4)
		}
		crc, packed, size = le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:])
		_, _ = in.Discard(12)
	}
	if int(size) != len(data) || int(packed) != counted.n || crc != crc32.ChecksumIEEE(data) {
		return nil, errors.New("invalid entry size or CRC")
	}
	return data, nil
}

// countingBytes has the inflater read no byte too many.
type countingBytes struct {
	in *bufio.Reader
	n  int
}

func (c *countingBytes) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (c *countingBytes) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += n
	return n, err
}

// modelOfIOS unpacks as CapgoUpdater.saveDownloaded with ZIPFoundation: by the directory
// at the end, and without a look at the CRC.
func modelOfIOS(zip []byte) (tree, error) {
	end := bytes.LastIndex(zip, []byte("PK\x05\x06"))
	if end < 0 || len(zip)-end < 22 {
		return nil, errors.New("cannotUnzip")
	}
	files := make(tree)
	at := int(le.Uint32(zip[end+16:]))
	for range le.Uint16(zip[end+10:]) {
		if at+46 > len(zip) || le.Uint32(zip[at:]) != 0x02014b50 {
			return files, nil // the iterator ends, and nobody is told
		}
		h := zip[at:]
		flags, method, packed := le.Uint16(h[8:]), le.Uint16(h[10:]), int(le.Uint32(h[20:]))
		nameLen, mode := int(le.Uint16(h[28:])), le.Uint32(h[38:])>>16&0o170000
		offset := int(le.Uint32(h[42:]))
		at += 46 + nameLen + int(le.Uint16(h[30:])) + int(le.Uint16(h[32:]))
		if at > len(zip) || offset+30 > len(zip) || le.Uint32(zip[offset:]) != 0x04034b50 {
			return files, nil
		}
		name := string(h[46 : 46+nameLen])
		if flags&(1<<11) == 0 && strings.ContainsFunc(name, func(r rune) bool { return r > 127 }) {
			name = "another name, by code page 437"
		}
		start := offset + 30 + int(le.Uint16(zip[offset+26:])) + int(le.Uint16(zip[offset+28:]))
		if flags&8 != 0 {
			if start+packed+16 > len(zip) || le.Uint32(zip[start+packed:]) != 0x08074b50 {
				packed = 0
			}
		} else {
			packed = int(le.Uint32(zip[offset+18:]))
		}
		if start+packed > len(zip) {
			return nil, errors.New("cannotUnzip")
		}
		data := zip[start : start+packed]
		if method == 8 {
			var err error
			if data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), 1<<26)); err != nil {
				return nil, err
			}
		}
		isUnix := h[5] == 3 || h[5] == 19
		switch {
		case isUnix && mode == 0o120000:
			files[name] = []byte("a link")
		case isUnix && mode == 0o040000, (!isUnix || mode == 0) && strings.HasSuffix(name, "/"):
		default:
			files[name] = data
		}
	}
	return files, nil
}
