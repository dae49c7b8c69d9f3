package client

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// TileWidth is the number of hashes or entries in a full tile (C2SP tlog-tiles).
const TileWidth = 256

// HashTilePath returns the path of a tile of hashes, "tile/<L>/<N>[.p/<W>]"
// (C2SP tlog-tiles). A width of [TileWidth] means a full tile.
func HashTilePath(level int, n int64, width int) string {
	return fmt.Sprintf("tile/%d/%s", level, tileIndex(n, width))
}

// EntryBundlePath returns the path of a bundle of entries,
// "tile/entries/<N>[.p/<W>]" (C2SP tlog-tiles).
func EntryBundlePath(n int64, width int) string {
	return "tile/entries/" + tileIndex(n, width)
}

// tileIndex writes n in groups of three digits, all but the last with an x
// before them: 1234067 is x001/x234/067.
func tileIndex(n int64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if width < TileWidth {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}

// ParseEntryBundle splits a bundle into its entries: each is led by its length
// as two bytes, big-endian (C2SP tlog-tiles).
func ParseEntryBundle(data []byte) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, errors.New("entry bundle: it ends within the length of an entry")
		}
		n := int(binary.BigEndian.Uint16(data))
		if data = data[2:]; len(data) < n {
			return nil, fmt.Errorf("entry bundle: entry %d should have %d bytes, found %d", len(entries), n, len(data))
		}
		entries = append(entries, data[:n:n])
		data = data[n:]
	}
	return entries, nil
}

// AppendEntry adds an entry to a bundle. An entry has at most 65,535 bytes.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > 1<<16-1 {
		return nil, fmt.Errorf("entry bundle: found an entry of %d bytes, want at most %d", len(entry), 1<<16-1)
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...), nil
}
