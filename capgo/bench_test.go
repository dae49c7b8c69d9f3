package capgo_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

func BenchmarkEncrypt(b *testing.B) {
	const size = 16 << 20
	key := ownKey().knownKey(b, testAESKey)
	b.SetBytes(size)
	for b.Loop() {
		if _, err := capgo.Encrypt(io.Discard, io.LimitReader(zeros{}, size), key, testIV); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecrypt(b *testing.B) {
	const size = 16 << 20
	key := ownKey().knownKey(b, testAESKey)
	encrypted := plainCBC(b, testAESKey, testIV, make([]byte, size))
	b.SetBytes(size)
	for b.Loop() {
		if _, err := capgo.Decrypt(io.Discard, bytes.NewReader(encrypted), key, testIV); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyBundle(b *testing.B) {
	const size = 16 << 20
	u := ownKey().seal(b, make([]byte, size), capgo.FormatHex)
	b.SetBytes(size)
	for b.Loop() {
		if _, err := u.verify(ownKey(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecover(b *testing.B) {
	key := ownKey()
	sig := key.bytes(b, pattern(32))
	for b.Loop() {
		if _, err := key.public.Recover(sig); err != nil {
			b.Fatal(err)
		}
	}
}
