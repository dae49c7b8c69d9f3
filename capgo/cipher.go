package capgo

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
)

// chunkSize is how much of a bundle is in memory at once: a multiple of the AES
// block, large enough that the system calls do not matter.
const chunkSize = 256 << 10

// ErrEmpty is returned for a bundle without a byte: devices refuse it.
var ErrEmpty = errors.New("the bundle is empty (0 bytes): devices refuse an empty bundle")

// ErrPadding is returned when decryption ends in anything but PKCS#7 padding:
// the session key or IV is another bundle's, or the bundle was damaged or cut.
var ErrPadding = errors.New("PKCS#7 padding is wrong: the session key belongs to another bundle, or the bundle was damaged or cut short")

// Encrypt reads the plain bundle from src and writes it to dst under
// AES-128-CBC with PKCS#7 padding (RFC 5652, section 6.3). It holds a fixed
// amount of memory whatever the size, and returns the number of plain bytes.
// It fails with [ErrEmpty] if src has none.
func Encrypt(dst io.Writer, src io.Reader, key *SessionKey, iv IV) (int64, error) {
	block, err := key.cipher()
	if err != nil {
		return 0, err
	}
	mode := cipher.NewCBCEncrypter(block, iv[:])
	buf := make([]byte, chunkSize, chunkSize+aes.BlockSize)
	var total int64
	for {
		n, last, err := readChunk(src, buf)
		total += int64(n)
		if err != nil {
			return total, &ioError{"reading the bundle", err}
		}
		out := buf[:n]
		if last {
			if total == 0 {
				return 0, ErrEmpty
			}
			pad := aes.BlockSize - n%aes.BlockSize
			for range pad {
				out = append(out, byte(pad))
			}
		}
		mode.CryptBlocks(out, out)
		if _, err := writeAll(dst, out); err != nil {
			return total, &ioError{"writing the encrypted bundle", err}
		}
		if last {
			return total, nil
		}
	}
}

// Decrypt undoes [Encrypt] and returns the number of plain bytes written. What
// it writes is not to be trusted until the digest of the whole was compared with
// the checksum: CBC has no integrity of its own. It fails with [ErrPadding] when
// the last block is not padded properly, after everything before was written.
func Decrypt(dst io.Writer, src io.Reader, key *SessionKey, iv IV) (int64, error) {
	block, err := key.cipher()
	if err != nil {
		return 0, err
	}
	mode := cipher.NewCBCDecrypter(block, iv[:])
	// One block is always held back: it may turn out to be the padded one.
	buf := make([]byte, aes.BlockSize+chunkSize)
	held, total := 0, int64(0)
	for {
		n, last, err := readChunk(src, buf[held:held+chunkSize])
		if err != nil {
			return total, &ioError{"reading the encrypted bundle", err}
		}
		if n%aes.BlockSize != 0 {
			return total, fmt.Errorf("the encrypted bundle is not a multiple of %d bytes: it was cut short", aes.BlockSize)
		}
		if held+n == 0 {
			return 0, errors.New("the encrypted bundle is empty (0 bytes)")
		}
		mode.CryptBlocks(buf[held:held+n], buf[held:held+n])
		ready := buf[:held+n]
		if last {
			if ready, err = unpad(ready); err != nil {
				return total, err
			}
		} else {
			ready = ready[:len(ready)-aes.BlockSize]
		}
		w, err := writeAll(dst, ready)
		total += int64(w)
		if err != nil {
			return total, &ioError{"writing the decrypted bundle", err}
		}
		if last {
			if total == 0 {
				return 0, ErrEmpty
			}
			return total, nil
		}
		copy(buf, buf[len(ready):held+n])
		held = aes.BlockSize
	}
}

// ioError is an error of a source or target, and says nothing about the bundle.
type ioError struct {
	doing string
	err   error
}

func (e *ioError) Error() string { return e.doing + ": " + e.err.Error() }

func (e *ioError) Unwrap() error { return e.err }

// readChunk fills buf from src; last says that src ended, and n is then less than
// len(buf) or equal to it. Unlike [io.ReadFull] it does not take a source's own
// [io.ErrUnexpectedEOF], which is how a download says that it broke off, for the
// end of the bundle.
func readChunk(src io.Reader, buf []byte) (n int, last bool, err error) {
	const patience = 100 // reads in a row without a byte or an error
	for idle := 0; n < len(buf); {
		m, err := src.Read(buf[n:])
		n += m
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, false, err
		case m > 0:
			idle = 0
		default:
			if idle++; idle == patience {
				return n, false, io.ErrNoProgress
			}
		}
	}
	return n, false, nil
}

// writeAll is Write for a writer that may break the rule that a short write comes
// with an error.
func writeAll(dst io.Writer, b []byte) (int, error) {
	n, err := dst.Write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// unpad removes PKCS#7 padding from plain text that ends with a whole block.
func unpad(b []byte) ([]byte, error) {
	pad := int(b[len(b)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrPadding
	}
	for _, c := range b[len(b)-pad:] {
		if int(c) != pad {
			return nil, ErrPadding
		}
	}
	return b[:len(b)-pad], nil
}
