package vaulttest

import (
	"crypto/aes"
	"encoding/binary"
)

// wrapKWP is AES key wrap with padding (RFC 5649, section 4.1) for data of more than 8
// bytes.
func wrapKWP(key, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := (len(data) + 7) / 8
	out := make([]byte, 8+8*n)
	copy(out, []byte{0xa6, 0x59, 0x59, 0xa6})
	binary.BigEndian.PutUint32(out[4:], uint32(len(data)))
	copy(out[8:], data)
	var b [16]byte
	copy(b[:8], out)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[8:], out[8*i:8*i+8])
			block.Encrypt(b[:], b[:])
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
			copy(out[8*i:], b[8:])
		}
	}
	copy(out, b[:8])
	return out, nil
}
