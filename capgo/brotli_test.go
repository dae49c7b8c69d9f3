package capgo_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/capgo"
)

// asPhone is what the updater does with the decrypted form of a file called ".br",
// told again from its sources: DownloadService.java, decompressBrotli, and
// CapgoUpdater.swift, decompressBrotli, agree.
func asPhone(stored []byte) ([]byte, error) {
	n := len(stored)
	if n == 3 && stored[0] == 0x1B && stored[1] == 0 && stored[2] == 6 {
		return []byte{}, nil
	}
	if n > 3 && stored[n-1] == 3 {
		empty := stored[0] == 0x1B && stored[1] == 0 && stored[2] == 6
		qualityZero := stored[0] == 0x0B && stored[1] == 2 && stored[2] == 0x80
		if empty || qualityZero {
			return stored[3 : n-1], nil
		}
	}
	return io.ReadAll(brotli.NewReader(bytes.NewReader(stored)))
}

// A real compressor, at the official CLI's settings, makes of 1537 bytes what
// phones take for uncompressed, if the last byte happens to be a 3.
func TestBrotliThatPhonesMisread(t *testing.T) {
	const size = 1537 // of which a stream in one piece, with a window of 22 bits, begins with 1B 00 06
	for seed := range uint32(20_000) {
		plain := make([]byte, size)
		sum := sha256.Sum256(binary.LittleEndian.AppendUint32(nil, seed))
		copy(plain, sum[:])
		stored := compress(t, plain, 5, 22)
		if !bytes.HasPrefix(stored, []byte{0x1B, 0, 6}) {
			t.Fatalf("begins with % x: this test no longer makes what it is about", stored[:3])
		}
		if stored[len(stored)-1] != 3 {
			continue
		}
		if !capgo.BrotliMisread(stored) {
			t.Error("was not recognised")
		}
		var ours bytes.Buffer
		if _, err := capgo.Unbrotli(&ours, bytes.NewReader(stored), noLimit); err != nil {
			t.Fatal(err)
		}
		theirs, err := asPhone(stored)
		if err != nil || !bytes.Equal(ours.Bytes(), theirs) {
			t.Errorf("a phone makes something else of it than Unbrotli (%v)", err)
		}
		if bytes.Equal(theirs, plain) {
			t.Error("a phone makes the file of it: there was nothing to recognise")
		}
		return
	}
	t.Fatal("found no such file")
}

func TestUnbrotliIsWhatPhonesDo(t *testing.T) {
	plain := []byte(strings.Repeat("<p>hello</p>", 500))
	good := compress(t, plain, 9, 16)
	seeds := [][]byte{
		good, good[:len(good)-1],
		{},
		{3},
		{0x1B},
		{0x1B, 0},
		{0x1B, 0, 6},
		{0x1B, 0, 6, 3},
		{0x0B, 2, 0x80},
		{0x0B, 2, 0x80, 3},
		{0x1B, 0, 6, 'a', 3},
		{0x0B, 2, 0x80, 'h', 'e', 'l', 'l', 'o', 3},
		{0x0B, 2, 0x80, 'h', 'e', 'l', 'l', 'o', 4},
		{6},
		{0x3B},
	}
	for _, head := range [][]byte{{0x1B, 0, 6}, {0x0B, 2, 0x80}} {
		seeds = append(seeds, bytes.Join([][]byte{head, plain, {3}}, nil), bytes.Join([][]byte{head, plain}, nil), append(bytes.Clone(head), good...))
	}
	for _, stored := range seeds {
		samePhone(t, stored)
	}
}

// samePhone compares with what a phone makes of stored. An empty file is the one
// exception: phones make an empty file of it, and no decryption gives it.
func samePhone(t testing.TB, stored []byte) {
	t.Helper()
	var ours bytes.Buffer
	n, err := capgo.Unbrotli(&ours, bytes.NewReader(stored), 1<<20)
	if n != int64(ours.Len()) {
		t.Errorf("% x: said %d bytes, wrote %d", stored, n, ours.Len())
	}
	theirs, theirErr := asPhone(stored)
	if errors.Is(err, capgo.ErrTooLarge) && len(theirs) > 1<<20 {
		return
	}
	if (err == nil) != (theirErr == nil) || err == nil && !bytes.Equal(ours.Bytes(), theirs) {
		t.Errorf("% .100x: found %.50q, %v; a phone makes %.50q, %v", stored, ours.Bytes(), err, theirs, theirErr)
	}
}

func TestUnbrotliLimit(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789"), 100)
	stored := compress(t, plain, 9, 16)
	for limit, want := range map[int64]bool{0: false, 999: false, 1000: true, 1001: true} {
		var out bytes.Buffer
		_, err := capgo.Unbrotli(&out, bytes.NewReader(stored), limit)
		if (err == nil) != want || err != nil && !errors.Is(err, capgo.ErrTooLarge) {
			t.Errorf("limit %d: found %v", limit, err)
		}
		if int64(out.Len()) > limit {
			t.Errorf("limit %d: wrote %d bytes", limit, out.Len())
		}
	}
}

// What any quality and window make, if it is not misread, is undone to the byte.
func TestBrotliRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		plain := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(r, "plain"), rapid.IntRange(1, 50).Draw(r, "times"))
		stored := compress(t, plain, rapid.IntRange(0, 11).Draw(r, "quality"), rapid.IntRange(10, 22).Draw(r, "window"))
		var out bytes.Buffer
		_, err := capgo.Unbrotli(&out, bytes.NewReader(stored), int64(len(plain)))
		same := err == nil && bytes.Equal(out.Bytes(), plain)
		if same == capgo.BrotliMisread(stored) && !bytes.HasPrefix(stored, []byte{0x0B, 2, 0x80}) {
			r.Fatalf("undone: %v (%v), misread: %v", same, err, capgo.BrotliMisread(stored))
		}
	})
}

func FuzzUnbrotli(f *testing.F) {
	plain := []byte("hello hello hello hello")
	f.Add(compress(f, plain, 9, 16))
	f.Add([]byte{0x1B, 0, 6})
	f.Add([]byte{0x0B, 2, 0x80, 'h', 'e', 'l', 'l', 'o', 3})
	f.Fuzz(func(t *testing.T, stored []byte) {
		if len(stored) > 0 {
			samePhone(t, stored)
		}
	})
}
