package capgo_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/bundlesign/bundlesign/capgo"
)

// chunk is how much the package reads at once; sizes around it are where it
// could go wrong.
const chunk = 256 << 10

var (
	testAESKey = [16]byte(pattern(16))
	testIV     = capgo.IV(pattern(48)[32:])
)

// plainCBC is AES-128-CBC with PKCS#7 padding the short way, all in memory.
func plainCBC(t testing.TB, key [16]byte, iv capgo.IV, plain []byte) []byte {
	t.Helper()
	b, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	out := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(b, iv[:]).CryptBlocks(out, out)
	return out
}

func sizes() []int {
	var all []int
	for _, at := range []int{16, 32, 4096, chunk, 2 * chunk} {
		for _, d := range []int{-17, -16, -15, -1, 0, 1, 15, 16, 17} {
			if n := at + d; n > 0 {
				all = append(all, n)
			}
		}
	}
	return append(all, 7*chunk+5)
}

// Sources that give what they have in different portions.
var sources = map[string]func([]byte) io.Reader{
	"whole":         func(b []byte) io.Reader { return bytes.NewReader(b) },
	"halves":        func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	"data with EOF": func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) },
}

func TestEncryptDecryptSizes(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	for _, n := range sizes() {
		plain := pattern(n)
		want := plainCBC(t, testAESKey, testIV, plain)
		for name, source := range sources {
			var encrypted, decrypted bytes.Buffer
			if got, err := capgo.Encrypt(&encrypted, source(plain), key, testIV); err != nil || got != int64(n) {
				t.Fatalf("%d bytes, %s: Encrypt = %d, %v", n, name, got, err)
			}
			if !bytes.Equal(encrypted.Bytes(), want) {
				t.Fatalf("%d bytes, %s: not AES-128-CBC of the bundle", n, name)
			}
			if got, err := capgo.Decrypt(&decrypted, source(want), key, testIV); err != nil || got != int64(n) {
				t.Fatalf("%d bytes, %s: Decrypt = %d, %v", n, name, got, err)
			}
			if !bytes.Equal(decrypted.Bytes(), plain) {
				t.Fatalf("%d bytes, %s: came back changed", n, name)
			}
		}
	}
	// Byte by byte it is slow, so only where the edges are.
	for _, n := range []int{1, 16, 17, chunk, chunk + 1} {
		var encrypted bytes.Buffer
		if _, err := capgo.Encrypt(&encrypted, iotest.OneByteReader(bytes.NewReader(pattern(n))), key, testIV); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encrypted.Bytes(), plainCBC(t, testAESKey, testIV, pattern(n))) {
			t.Fatalf("%d bytes, one by one: not AES-128-CBC of the bundle", n)
		}
	}
}

func TestAgainstOpenSSL(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	openssl := func(in []byte, args ...string) []byte {
		args = append([]string{"enc", "-aes-128-cbc", "-K", hex.EncodeToString(testAESKey[:]), "-iv", hex.EncodeToString(testIV[:])}, args...)
		cmd := exec.Command("openssl", args...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl enc: %v (the test needs the openssl command: apt install openssl)", err)
		}
		return out
	}
	for _, n := range []int{1, 15, 16, 17, chunk - 1, chunk, chunk + 1} {
		plain := pattern(n)
		var ours bytes.Buffer
		if _, err := capgo.Encrypt(&ours, bytes.NewReader(plain), key, testIV); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours.Bytes(), openssl(plain)) {
			t.Errorf("%d bytes: openssl encrypts differently", n)
		}
		if !bytes.Equal(openssl(ours.Bytes(), "-d"), plain) {
			t.Errorf("%d bytes: openssl decrypts ours to something else", n)
		}
	}
}

func TestEmptyBundle(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	var out bytes.Buffer
	if _, err := capgo.Encrypt(&out, bytes.NewReader(nil), key, testIV); !errors.Is(err, capgo.ErrEmpty) {
		t.Errorf("encrypting nothing: %v, want ErrEmpty", err)
	}
	if out.Len() != 0 {
		t.Errorf("encrypting nothing wrote %d bytes", out.Len())
	}
	_, err := capgo.Decrypt(io.Discard, bytes.NewReader(nil), key, testIV)
	wantError(t, err, "the encrypted bundle is empty (0 bytes)")
	// One block of padding decrypts to nothing, which phones refuse as well.
	nothing := plainCBC(t, testAESKey, testIV, nil)
	if _, err := capgo.Decrypt(io.Discard, bytes.NewReader(nothing), key, testIV); !errors.Is(err, capgo.ErrEmpty) {
		t.Errorf("decrypting to nothing: %v, want ErrEmpty", err)
	}
}

func TestDecryptRefusesCut(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	for _, n := range []int{100, chunk + 100} {
		// Zeros: no block of theirs can be taken for padding.
		whole := plainCBC(t, testAESKey, testIV, make([]byte, n))
		for cut := 1; cut <= 40; cut++ {
			_, err := capgo.Decrypt(io.Discard, bytes.NewReader(whole[:len(whole)-cut]), key, testIV)
			if cut%16 == 0 {
				if !errors.Is(err, capgo.ErrPadding) {
					t.Errorf("%d bytes cut by %d: %v, want ErrPadding", n, cut, err)
				}
				continue
			}
			wantError(t, err, "not a multiple of 16 bytes: it was cut short")
		}
		_, err := capgo.Decrypt(io.Discard, bytes.NewReader(append(bytes.Clone(whole), 0)), key, testIV)
		wantError(t, err, "not a multiple of 16 bytes")
	}
}

func TestDecryptRefusesPadding(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	b, err := aes.NewCipher(testAESKey[:])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		last [16]byte // the last plain block
		ok   bool
	}{
		{"00", [16]byte{}, false},
		{"17", [16]byte{15: 17}, false},
		{"FF", [16]byte{15: 0xFF}, false},
		{"01", [16]byte{15: 1}, true},
		{"02 02", [16]byte{14: 2, 15: 2}, true},
		{"03 02", [16]byte{14: 3, 15: 2}, false},
		{"03 03 03 less one", [16]byte{13: 2, 14: 3, 15: 3}, false},
		{"sixteen 16s", [16]byte(bytes.Repeat([]byte{16}, 16)), true},
		{"sixteen 16s less the first", func() [16]byte { b := [16]byte(bytes.Repeat([]byte{16}, 16)); b[0] = 0; return b }(), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := append(pattern(32), test.last[:]...)
			cipher.NewCBCEncrypter(b, testIV[:]).CryptBlocks(data, data)
			_, err := capgo.Decrypt(io.Discard, bytes.NewReader(data), key, testIV)
			if test.ok && err != nil {
				t.Errorf("proper padding: %v", err)
			}
			if !test.ok && !errors.Is(err, capgo.ErrPadding) {
				t.Errorf("%v, want ErrPadding", err)
			}
		})
	}
}

var errDisk = errors.New("input/output error of the test")

// failAfter takes n bytes and then fails as a full disk does.
type failAfter struct{ n int }

func (w *failAfter) Write(p []byte) (int, error) {
	if len(p) <= w.n {
		w.n -= len(p)
		return len(p), nil
	}
	n := w.n
	w.n = 0
	return n, errDisk
}

// shortWriter breaks the rule of io.Writer: it takes less and says nothing.
type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) / 2, nil }

// idleReader breaks a habit of io.Reader: nothing, and no error, for ever.
type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestCipherReportsIOErrors(t *testing.T) {
	key := ownKey().knownKey(t, testAESKey)
	plain := pattern(chunk + 100)
	encrypted := plainCBC(t, testAESKey, testIV, plain)
	broken := func(b []byte, err error) io.Reader {
		return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(err))
	}
	for _, test := range []struct {
		name string
		run  func(dst io.Writer, src io.Reader) (int64, error)
		in   []byte
	}{
		{"Encrypt", func(d io.Writer, s io.Reader) (int64, error) { return capgo.Encrypt(d, s, key, testIV) }, plain},
		{"Decrypt", func(d io.Writer, s io.Reader) (int64, error) { return capgo.Decrypt(d, s, key, testIV) }, encrypted},
	} {
		for _, at := range []int{0, 1, 16, 100, chunk, chunk + 16, len(test.in)} {
			t.Run(fmt.Sprintf("%s/source fails after %d", test.name, at), func(t *testing.T) {
				_, err := test.run(io.Discard, broken(test.in[:at], errDisk))
				if !errors.Is(err, errDisk) {
					t.Errorf("%v, want the source's error", err)
				}
				wantError(t, err, "reading the ")
			})
			// How an HTTP body says that the connection went away. Taking it for
			// the end would encrypt half a bundle.
			t.Run(fmt.Sprintf("%s/source breaks off after %d", test.name, at), func(t *testing.T) {
				_, err := test.run(io.Discard, broken(test.in[:at], io.ErrUnexpectedEOF))
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%v, want the source's io.ErrUnexpectedEOF", err)
				}
				wantError(t, err, "reading the ")
			})
		}
		for _, at := range []int{0, 1, 16, 100, chunk} { // less than comes out
			t.Run(fmt.Sprintf("%s/target fails after %d", test.name, at), func(t *testing.T) {
				_, err := test.run(&failAfter{at}, bytes.NewReader(test.in))
				if !errors.Is(err, errDisk) {
					t.Errorf("%v, want the target's error", err)
				}
				wantError(t, err, "writing the ")
			})
		}
		t.Run(test.name+"/target takes less than it was given", func(t *testing.T) {
			_, err := test.run(shortWriter{}, bytes.NewReader(test.in))
			if !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("%v, want io.ErrShortWrite", err)
			}
		})
		t.Run(test.name+"/source gives nothing for ever", func(t *testing.T) {
			_, err := test.run(io.Discard, idleReader{})
			if !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("%v, want io.ErrNoProgress", err)
			}
		})
	}
}

// zeros is an endless bundle.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A bundle of any size passes through in the same memory. What is counted is
// all that was ever allocated on the way, not what was left at the end.
func TestConstantMemory(t *testing.T) {
	const size, allowed = 256 << 20, 2 << 20
	key := ownKey().knownKey(t, testAESKey)
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	r, w := io.Pipe()
	go func() {
		_, err := capgo.Encrypt(w, io.LimitReader(zeros{}, size), key, testIV)
		w.CloseWithError(err)
	}()
	n, err := capgo.Decrypt(io.Discard, r, key, testIV)
	if err != nil || n != size {
		t.Fatalf("%d bytes came back, %v; want %d", n, err, size)
	}
	if used := allocated() - before; used > allowed {
		t.Errorf("%d bytes through both ways allocated %d bytes, want at most %d", size, used, allowed)
	}
}
