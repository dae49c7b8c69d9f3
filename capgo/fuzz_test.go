package capgo_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// What all these targets have in common: what is accepted has one form, is
// written back in that form, and means the same when it is read again.

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"", abcHex, strings.ToUpper(abcHex), abcHex[1:], abcHex + "0", "cbf43926", strings.Repeat("g", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := capgo.ParseDigest(s)
		if err != nil {
			if d != (capgo.Digest{}) {
				t.Errorf("refused, and yet %s", d)
			}
			return
		}
		if d.String() != strings.ToLower(s) {
			t.Errorf("%q came back as %s", s, d)
		}
	})
}

func FuzzParseChecksum(f *testing.F) {
	sig := capgo.Signature(pattern(capgo.SignatureSize))
	for _, s := range []string{
		"", vectorSignature, strings.ToUpper(vectorSignature), sig.Checksum(capgo.FormatLegacy),
		abcHex, "cbf43926", strings.Repeat("=", 344), strings.Repeat("A", 344), strings.Repeat("A", 342) + "==",
		strings.Repeat("A", 340) + "\r\n==",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, format, err := capgo.ParseChecksum(s)
		if err != nil {
			if sig != (capgo.Signature{}) || format != "" {
				t.Errorf("refused, and yet a signature in form %q", format)
			}
			return
		}
		want := s
		if format == capgo.FormatHex {
			want = strings.ToLower(s)
		}
		if got := sig.Checksum(format); got != want {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}

func FuzzParseWrappedKey(f *testing.F) {
	good := capgo.WrappedKey{IV: capgo.IV(pattern(16)), Wrapped: capgo.Signature(pattern(256))}.String()
	for _, s := range []string{"", ":", good, good + "\n", good[1:], good + ":" + good, strings.Replace(good, ":", "::", 1), strings.Replace(good, "=", "", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := capgo.ParseWrappedKey(s)
		if err != nil {
			if w != (capgo.WrappedKey{}) {
				t.Error("refused, and yet a wrapped key")
			}
			return
		}
		if w.String() != s {
			t.Errorf("%q came back as %q", s, w)
		}
	})
}

func FuzzParsePublicKeyPEM(f *testing.F) {
	for _, s := range []string{
		"", vectorPEM, strings.TrimSpace(vectorPEM), strings.ReplaceAll(vectorPEM, "\n", "\r\n"), vectorPEM + vectorPEM, "\n" + vectorPEM,
		"-----BEGIN RSA PUBLIC KEY-----\n-----END RSA PUBLIC KEY-----\n",
		"-----BEGIN RSA PUBLIC KEY-----\nA: b\n\n" + vectorPEM[31:],
		"-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := capgo.ParsePublicKeyPEM(b)
		if err != nil {
			if key != nil {
				t.Error("refused, and yet a key")
			}
			return
		}
		if n, e := key.RSA().N.BitLen(), key.RSA().E; n != 2048 || e != 65537 {
			t.Errorf("accepted a key of %d bits with exponent %d", n, e)
		}
		// What phones do before they parse: the exact first line, then the body.
		if !bytes.HasPrefix(b, []byte("-----BEGIN RSA PUBLIC KEY-----")) {
			t.Errorf("accepted %q, which phones do not", b[:min(len(b), 40)])
		}
		if again, err := capgo.ParsePublicKeyPEM([]byte(key.PEM())); err != nil || !again.Equal(key) {
			t.Errorf("the written form came back as another key, or not: %v", err)
		}
	})
}

func FuzzPayloadUnmarshalBinary(f *testing.F) {
	for _, kind := range []byte{0, 'C', 'L', 'S', 'c', 0xFF} {
		f.Add(append([]byte{kind}, make([]byte, 32)...))
		f.Add(append([]byte{kind}, pattern(32)...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p capgo.Payload
		if err := p.UnmarshalBinary(b); err != nil {
			if p != (capgo.Payload{}) {
				t.Error("refused, and yet a payload")
			}
			return
		}
		back, err := p.MarshalBinary()
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x came back as %x, %v", b, back, err)
		}
		material, err := p.Material(nil)
		if err != nil {
			t.Fatal(err)
		}
		// The heart of it: nothing but these three shapes can be signed, and
		// of them only the digest holds bytes that came in.
		switch p.Kind() {
		case capgo.KindChecksum:
			if !bytes.Equal(material, b[1:]) {
				t.Errorf("a checksum payload signs %x", material)
			}
		case capgo.KindLegacy:
			if base64.StdEncoding.EncodeToString(material) != hex.EncodeToString(b[1:]) {
				t.Errorf("a legacy payload signs %x", material)
			}
		case capgo.KindSession:
			if len(material) != 16 || bytes.Contains(b, material) {
				t.Errorf("a session payload signs %d bytes that it was given", len(material))
			}
		default:
			t.Errorf("accepted kind %d", b[0])
		}
	})
}

func FuzzRecover(f *testing.F) {
	key := parsePublicKey(f, vectorPEM)
	sig, _, err := capgo.ParseChecksum(vectorSignature)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig[:])
	f.Add(make([]byte, 256))
	f.Add(bytes.Repeat([]byte{0xFF}, 256))
	f.Add(key.RSA().N.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := capgo.NewSignature(b)
		if err != nil {
			return
		}
		if got, err := key.Recover(s); err == nil && s != sig {
			t.Errorf("a signature was forged: %x recovers to %x", b, got)
		}
	})
}

func FuzzDecrypt(f *testing.F) {
	key := ownKey().knownKey(f, testAESKey)
	for _, n := range []int{1, 15, 16, 17, 100} {
		whole := plainCBC(f, testAESKey, testIV, pattern(n))
		f.Add(whole)
		f.Add(whole[:len(whole)-1])
		f.Add(flip(whole, 8*len(whole)-1))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var plain bytes.Buffer
		n, err := capgo.Decrypt(&plain, bytes.NewReader(b), key, testIV)
		if n != int64(plain.Len()) {
			t.Errorf("said %d bytes, wrote %d", n, plain.Len())
		}
		if err != nil {
			return
		}
		if plain.Len() == 0 || len(b)-plain.Len() < 1 || len(b)-plain.Len() > 16 {
			t.Errorf("%d bytes decrypted to %d", len(b), plain.Len())
		}
		// CBC and PKCS#7 have one form: what decrypts is what encrypts to it.
		var again bytes.Buffer
		if _, err := capgo.Encrypt(&again, bytes.NewReader(plain.Bytes()), key, testIV); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%x is not what its plain text encrypts to (%v)", b, err)
		}
	})
}

func FuzzVerifyBundle(f *testing.F) {
	plain := []byte("a small bundle")
	u := ownKey().seal(f, plain, capgo.FormatHex)
	f.Add(u.encrypted, u.checksum, u.sessionKey)
	f.Add([]byte{}, "", "")
	f.Add(plain, abcHex, ":")
	f.Fuzz(func(t *testing.T, encrypted []byte, checksum, sessionKey string) {
		var out bytes.Buffer
		_, err := update{encrypted, checksum, sessionKey}.verify(ownKey(), &out)
		if err == nil {
			if !bytes.Equal(out.Bytes(), plain) {
				t.Errorf("verified a bundle that nobody signed: %x", out.Bytes())
			}
			return
		}
		var failed *capgo.CheckError
		if !errors.As(err, &failed) {
			t.Errorf("%v, want a *CheckError: nothing else can go wrong here", err)
		}
	})
}
