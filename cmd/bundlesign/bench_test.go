package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

// BenchmarkEncryptAgainstOpenSSL compares what `bundlesign sign` does to a bundle
// with `openssl enc -aes-128-cbc`, file to file, in rounds that follow each other.
// It reports the median speeds and the median of the rounds' ratios: above 1 is
// faster than openssl.
func BenchmarkEncryptAgainstOpenSSL(b *testing.B) {
	const size, rounds = 256 << 20, 7
	dir := b.TempDir()
	plain, out := filepath.Join(dir, "plain"), filepath.Join(dir, "out")
	f, err := os.Create(plain)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	key, iv := sessionKey(b), capgo.NewIV()
	ours := func() error { return encryptFile(out, plain, key, iv) }
	openssl := func() error {
		return exec.Command("openssl", "enc", "-aes-128-cbc", "-K", "000102030405060708090a0b0c0d0e0f",
			"-iv", "000102030405060708090a0b0c0d0e0f", "-in", plain, "-out", out).Run()
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
			u, t := speed(ours), speed(openssl)
			us, them, ratio = append(us, u), append(them, t), append(ratio, u/t)
		}
		b.ReportMetric(median(us), "MB/s")
		b.ReportMetric(median(them), "openssl-MB/s")
		b.ReportMetric(median(ratio), "bundlesign/openssl")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}

func encryptFile(to, from string, key *capgo.SessionKey, iv capgo.IV) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = capgo.Encrypt(out, in, key, iv)
	return err
}

// sessionKey is one that a phone would unwrap.
func sessionKey(b *testing.B) *capgo.SessionKey {
	b.Helper()
	private, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		b.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	material, err := capgo.SessionKeyPayload().Material(nil)
	if err != nil {
		b.Fatal(err)
	}
	wrapped, err := rsa.SignPKCS1v15(nil, private, crypto.Hash(0), material)
	if err != nil {
		b.Fatal(err)
	}
	key, err := public.Unwrap(capgo.WrappedKey{Wrapped: capgo.Signature(wrapped)})
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func median(v []float64) float64 {
	return slices.Sorted(slices.Values(v))[len(v)/2]
}
