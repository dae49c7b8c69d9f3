package capgo_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

// BenchmarkEncryptAgainstGo compares Encrypt, which streams and pads, with one call of
// Go's own AES-128-CBC over memory, in rounds that follow each other. It reports the
// median speeds and the median of the rounds' ratios; the bar is 0.9.
func BenchmarkEncryptAgainstGo(b *testing.B) {
	const size, rounds = 64 << 20, 9
	key := ownKey().knownKey(b, testAESKey)
	block, err := aes.NewCipher(testAESKey[:])
	if err != nil {
		b.Fatal(err)
	}
	plain := make([]byte, size)
	ours := func() error {
		_, err := capgo.Encrypt(io.Discard, bytes.NewReader(plain), key, testIV)
		return err
	}
	goes := func() error {
		cipher.NewCBCEncrypter(block, testIV[:]).CryptBlocks(plain, plain)
		return nil
	}
	speed := func(encrypt func() error) float64 {
		start := time.Now()
		if err := encrypt(); err != nil {
			b.Fatal(err)
		}
		return size / 1e6 / time.Since(start).Seconds()
	}
	for b.Loop() { // once is enough: the rounds are inside
		var us, them, ratio []float64
		for range rounds {
			u, t := speed(ours), speed(goes)
			us, them, ratio = append(us, u), append(them, t), append(ratio, u/t)
		}
		middle := func(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
		b.ReportMetric(middle(us), "MB/s")
		b.ReportMetric(middle(them), "go-MB/s")
		b.ReportMetric(middle(ratio), "bundlesign/go")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}
