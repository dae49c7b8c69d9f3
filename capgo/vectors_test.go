package capgo_test

import (
	"bytes"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// The vectors of the on-device updater's own contract tests, which are public.
const (
	vectorPEM = `-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAqJikYizowR4jGct5Uv8NdTjc+oXdnSp+I/P27huEx/eHTP+UQRIR
v6cYq2d9wOCU5qZpyf4P7u5qibvfWM+Db2L9FS6zjLrFxaKIVk4bnixHEkzFEwJ4
lIWq2cuwyVpdwriXvKRTen1bxslJHDKSkRAZX/u2rS+lbfs5k//2FBnVXK2aNGIv
I3Kl9bHl4xhnwe1CAahX+5j4mB50jrGJEYU/Ocp9gGHwwm4+smJhJRw8d6060dRY
SmoGQ34X4J4jO16Wln26TGNaSA0iBPVJt82MvO1FJJJFMAuIJDQfbysIKYFBWlBA
2OCmylv7cVls7DdUCiDIWbzNefCZa3RyBwIDAQAB
-----END RSA PUBLIC KEY-----
`
	vectorKeyID     = "MIIBCgKCAQEAqJikYizo"
	vectorSignature = "371cabdcb9827ffbc75fa978701d4bb5751fbdbddc0f46b6670c10f4529a0d21" +
		"2ecebd1460b5aecda16fe3a13f14cfbc48da3768db978b93acc1e707fa7eab54" +
		"ffc13062601eb2bce6a8f17bd0faa042cc44660f8f7235451c96860977abb57b" +
		"fe031e01a21787d21fcc2f9bdf9f9fba07a8ab089db417bd0443633accbdad56" +
		"d4a8ec0a1d3d35c7aafd163bd5f1b96fd94791911b2fe7f4561038dd9350ad70" +
		"3839281da43f07b06c78418e6af3530dc78d1fb9d4467ab2c83d745f01f05143" +
		"1cfbd70c8cad6db2f3153759e5bed6045a7e1b316d18a6aa06a1af38277e1dac" +
		"a559c5f1dc887268c1ff19b51199a51e948fcc9cb9de8be0a05d2fd90c1d1988"
)

var vectorPayload = bytes.Repeat([]byte{0xAB}, 16)

func TestVectorPublicKey(t *testing.T) {
	key := parsePublicKey(t, vectorPEM)
	if got := key.PEM(); got != vectorPEM {
		t.Errorf("the key is written as\n%s\nwant\n%s", got, vectorPEM)
	}
	if got := key.KeyID(); got != vectorKeyID {
		t.Errorf("key id %q, want %q", got, vectorKeyID)
	}
}

func TestVectorSignature(t *testing.T) {
	key := parsePublicKey(t, vectorPEM)
	sig, format, err := capgo.ParseChecksum(vectorSignature)
	if err != nil {
		t.Fatal(err)
	}
	if format != capgo.FormatHex {
		t.Errorf("format %q, want %q", format, capgo.FormatHex)
	}
	got, err := key.Recover(sig)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, vectorPayload) {
		t.Errorf("recovered %x, want %x", got, vectorPayload)
	}
	// Sixteen bytes are a session key to anyone who unwraps them ...
	if _, err := key.Unwrap(capgo.WrappedKey{Wrapped: sig}); err != nil {
		t.Errorf("Unwrap: %v", err)
	}
	// ... and never a checksum.
	if err := key.Verify(checksum(t, capgo.Digest{}, capgo.FormatHex), sig); err == nil {
		t.Error("sixteen bytes passed as the signature of a digest")
	}
}

// The vector with any one bit flipped must not come out as anything.
func TestVectorSignatureFlipped(t *testing.T) {
	key := parsePublicKey(t, vectorPEM)
	sig, _, err := capgo.ParseChecksum(vectorSignature)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * capgo.SignatureSize {
		flipped := sig
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, err := key.Recover(flipped); err == nil {
			t.Fatalf("bit %d flipped: recovered %x, want an error", bit, got)
		}
	}
}

func checksum(t testing.TB, d capgo.Digest, f capgo.ChecksumFormat) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(d, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
