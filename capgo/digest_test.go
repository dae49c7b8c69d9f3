package capgo_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

const abcHex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestParseDigest(t *testing.T) {
	want := capgo.Digest(sha256.Sum256([]byte("abc")))
	for _, in := range []string{abcHex, strings.ToUpper(abcHex), abcHex[:32] + strings.ToUpper(abcHex[32:])} {
		got, err := capgo.ParseDigest(in)
		if err != nil {
			t.Errorf("ParseDigest(%q): %v", in, err)
			continue
		}
		if got != want || got.String() != abcHex {
			t.Errorf("ParseDigest(%q) = %s, want %s", in, got, abcHex)
		}
	}
}

func TestParseDigestRefuses(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", "found 0 characters, want the 64"},
		{"a digit too few", abcHex[1:], "found 63 characters"},
		{"a digit too many", abcHex + "0", "found 65 characters"},
		{"not a digit", "g" + abcHex[1:], "not a hexadecimal digit"},
		{"white space", " " + abcHex[1:], "not a hexadecimal digit"},
		{"a CRC32", "cbf43926", "found 8 characters"},
		{"64 bytes of other digits", strings.Repeat("١", 32), "not a hexadecimal digit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := capgo.ParseDigest(test.in)
			wantError(t, err, test.want)
			if d != (capgo.Digest{}) {
				t.Errorf("a refused digest came back as %s", d)
			}
		})
	}
}

func TestParseChecksumFormat(t *testing.T) {
	for _, f := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
		got, err := capgo.ParseChecksumFormat(string(f))
		if err != nil || got != f {
			t.Errorf("ParseChecksumFormat(%q) = %q, %v", f, got, err)
		}
	}
	for _, in := range []string{"", "HEX", "hex ", "v3", "base64"} {
		_, err := capgo.ParseChecksumFormat(in)
		wantError(t, err, `want "hex" or "legacy"`)
	}
}

// wantError fails the test unless err says want.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want one that says %q", err, want)
	}
}
