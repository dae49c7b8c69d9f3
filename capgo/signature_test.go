package capgo_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestChecksumRoundTrip(t *testing.T) {
	sig := capgo.Signature(pattern(capgo.SignatureSize))
	for format, want := range map[capgo.ChecksumFormat]string{
		capgo.FormatHex:    hex.EncodeToString(sig[:]),
		capgo.FormatLegacy: base64.StdEncoding.EncodeToString(sig[:]),
	} {
		text := sig.Checksum(format)
		if text != want {
			t.Errorf("%s checksum is %q, want %q", format, text, want)
		}
		back, got, err := capgo.ParseChecksum(text)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if back != sig || got != format {
			t.Errorf("%s: came back as %s, or with other bytes", format, got)
		}
	}
}

// Phones take a hex checksum in either case.
func TestParseChecksumUpperCase(t *testing.T) {
	sig := capgo.Signature(pattern(capgo.SignatureSize))
	got, format, err := capgo.ParseChecksum(strings.ToUpper(sig.Checksum(capgo.FormatHex)))
	if err != nil || got != sig || format != capgo.FormatHex {
		t.Errorf("upper-case hex: %v (format %q)", err, format)
	}
}

func TestParseChecksumRefuses(t *testing.T) {
	sig := capgo.Signature(pattern(capgo.SignatureSize))
	asHex, asBase64 := sig.Checksum(capgo.FormatHex), sig.Checksum(capgo.FormatLegacy)
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", "found 0 characters"},
		{"an unsigned SHA-256", abcHex, "an unsigned SHA-256"},
		{"a CRC32", "cbf43926", "a CRC32"},
		{"hex cut by a byte", asHex[2:], "found 510 characters"},
		{"hex with a newline", asHex + "\n", "found 513 characters"},
		{"hex that is not", "x" + asHex[1:], "not all hexadecimal digits"},
		{"base64 that is not", "*" + asBase64[1:], "not base64"},
		{"base64 of 258 bytes", base64.StdEncoding.EncodeToString(make([]byte, 258)), "not base64 of a 256-byte signature"},
		{"base64 of 257 bytes", base64.StdEncoding.EncodeToString(make([]byte, 257)), "not base64 of a 256-byte signature"},
		{"base64 with line breaks", asBase64[:300] + "\r\n\r\n" + asBase64[304:], "not base64"},
		{"base64 with stray bits", asBase64[:341] + "B==", "not base64"},
		{"a 3072-bit signature", hex.EncodeToString(make([]byte, 384)), "found 768 characters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := capgo.ParseChecksum(test.in)
			wantError(t, err, test.want)
			wantError(t, err, "checksum: ")
		})
	}
}

func TestNewSignatureLength(t *testing.T) {
	for _, n := range []int{0, 1, 128, 255, 257, 384} {
		if _, err := capgo.NewSignature(make([]byte, n)); err == nil {
			t.Errorf("a signature of %d bytes was accepted", n)
		}
	}
	b := pattern(capgo.SignatureSize)
	sig, err := capgo.NewSignature(b)
	if err != nil {
		t.Fatal(err)
	}
	b[0]++
	if sig[0] == b[0] {
		t.Error("the signature shares the caller's memory")
	}
}
