package capgo_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
)

// update is what a phone gets.
type update struct {
	encrypted  []byte
	checksum   string
	sessionKey string
}

// seal does what daemon and client do together.
func (k testKey) seal(t testing.TB, plain []byte, format capgo.ChecksumFormat) update {
	t.Helper()
	wrapped, key := k.wrap(t)
	var out bytes.Buffer
	if _, err := capgo.Encrypt(&out, bytes.NewReader(plain), key, wrapped.IV); err != nil {
		t.Fatal(err)
	}
	sig := k.sign(t, checksum(t, sha256.Sum256(plain), format))
	return update{out.Bytes(), sig.Checksum(format), wrapped.String()}
}

func (u update) verify(k testKey, plain io.Writer) (*capgo.Verified, error) {
	return capgo.VerifyBundle(k.public, bytes.NewReader(u.encrypted), u.checksum, u.sessionKey, plain)
}

func TestVerifyBundle(t *testing.T) {
	plain := pattern(3*chunk + 7)
	for _, format := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
		t.Run(string(format), func(t *testing.T) {
			u := ownKey().seal(t, plain, format)
			var out bytes.Buffer
			got, err := u.verify(ownKey(), &out)
			if err != nil {
				t.Fatal(err)
			}
			want := &capgo.Verified{Digest: sha256.Sum256(plain), Size: int64(len(plain)), Format: format}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verified (-want +got):\n%s", diff)
			}
			if !bytes.Equal(out.Bytes(), plain) {
				t.Error("the plain bundle came out changed")
			}
			if _, err := u.verify(ownKey(), nil); err != nil {
				t.Errorf("with nowhere to write to: %v", err)
			}
		})
	}
}

func TestVerifyBundleNamesTheCheck(t *testing.T) {
	own, other := ownKey(), otherKey()
	// Zeros decrypt to themselves, so that a cut is never taken for padding.
	plain := make([]byte, 1000)
	digest := capgo.Digest(sha256.Sum256(plain))
	good := own.seal(t, plain, capgo.FormatHex)
	foreign := other.seal(t, plain, capgo.FormatHex)
	again := own.seal(t, plain, capgo.FormatHex)
	longer := own.seal(t, append(plain, 0), capgo.FormatHex)
	iv, _, _ := strings.Cut(good.sessionKey, ":")

	flipCiphertext := func(bit int) func(*update) {
		return func(u *update) { u.encrypted = flip(u.encrypted, bit) }
	}
	for _, test := range []struct {
		name  string
		spoil func(*update)
		want  capgo.Check
		says  string
	}{
		{"session key is nothing", func(u *update) { u.sessionKey = "" }, capgo.CheckSessionKey, "no colon"},
		{"session key is not base64", func(u *update) { u.sessionKey = "a:b" }, capgo.CheckSessionKey, "not base64"},
		{"session key by another key", func(u *update) { u.sessionKey = foreign.sessionKey }, capgo.CheckSessionKey, "made by another key"},
		{"session key of 32 bytes", func(u *update) {
			sig := own.bytes(t, make([]byte, 32))
			u.sessionKey = iv + ":" + sig.Checksum(capgo.FormatLegacy)
		}, capgo.CheckSessionKey, "found 32 bytes inside, want 16"},
		{"session key of another bundle", func(u *update) { u.sessionKey = again.sessionKey }, "", ""}, // see below
		{"bundle is empty", func(u *update) { u.encrypted = nil }, capgo.CheckDecrypt, "empty (0 bytes)"},
		{"bundle cut within a block", func(u *update) { u.encrypted = u.encrypted[:500] }, capgo.CheckDecrypt, "cut short"},
		{"bundle cut between blocks", func(u *update) { u.encrypted = u.encrypted[:480] }, capgo.CheckDecrypt, "PKCS#7 padding is wrong"},
		{"bundle is not encrypted", func(u *update) { u.encrypted = plain }, capgo.CheckDecrypt, "multiple of 16"},
		{"bundle decrypts to nothing", func(u *update) {
			wrapped, key := own.wrap(t)
			var out bytes.Buffer
			if _, err := capgo.Encrypt(&out, bytes.NewReader(make([]byte, 16)), key, wrapped.IV); err != nil {
				t.Fatal(err)
			}
			// The first block of the ciphertext is the IV of the second, and
			// the second is all padding.
			wrapped.IV = capgo.IV(out.Bytes()[:16])
			*u = update{out.Bytes()[16:], u.checksum, wrapped.String()}
		}, capgo.CheckDecrypt, "0 bytes"},
		{"checksum is nothing", func(u *update) { u.checksum = "" }, capgo.CheckSignature, "found 0 characters"},
		{"checksum is not signed", func(u *update) { u.checksum = digest.String() }, capgo.CheckSignature, "an unsigned SHA-256"},
		{"checksum by another key", func(u *update) { u.checksum = foreign.checksum }, capgo.CheckSignature, "made by another key"},
		{"checksum damaged", func(u *update) { u.checksum = "00" + u.checksum[2:] }, capgo.CheckSignature, "padding"},
		{"checksum is the session key", func(u *update) {
			w, err := capgo.ParseWrappedKey(u.sessionKey)
			if err != nil {
				t.Fatal(err)
			}
			u.checksum = w.Wrapped.Checksum(capgo.FormatHex)
		}, capgo.CheckSignature, "found 16 bytes inside the checksum, want 32"},
		{"legacy checksum written as hex", func(u *update) {
			u.checksum = own.sign(t, checksum(t, digest, capgo.FormatLegacy)).Checksum(capgo.FormatHex)
		}, capgo.CheckSignature, "found 48 bytes inside the checksum, want 32"},
		{"hex checksum written as base64", func(u *update) {
			u.checksum = own.sign(t, checksum(t, digest, capgo.FormatHex)).Checksum(capgo.FormatLegacy)
		}, capgo.CheckSignature, "found 32 bytes inside the checksum, want 48"},
		{"checksum of another bundle", func(u *update) { u.checksum = longer.checksum }, capgo.CheckDigest, digest.String()},
		{"first bit of the bundle flipped", flipCiphertext(0), capgo.CheckDigest, "not what was signed"},
		{"a bit in the middle flipped", flipCiphertext(4000), capgo.CheckDigest, "not what was signed"},
		{"a bit of the IV flipped", func(u *update) {
			w, err := capgo.ParseWrappedKey(u.sessionKey)
			if err != nil {
				t.Fatal(err)
			}
			w.IV[5] ^= 1
			u.sessionKey = w.String()
		}, capgo.CheckDigest, "not what was signed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := good
			test.spoil(&u)
			got, err := u.verify(own, nil)
			if err == nil {
				t.Fatalf("verified as %v", got)
			}
			if got != nil {
				t.Errorf("with the error %v came a result", err)
			}
			var failed *capgo.CheckError
			if !errors.As(err, &failed) {
				t.Fatalf("%v, want a *CheckError", err)
			}
			if test.want == "" {
				// Under another AES key the last block is noise: by a chance of
				// one in 256 it looks like padding, and the digest tells.
				if failed.Check != capgo.CheckDecrypt && failed.Check != capgo.CheckDigest {
					t.Errorf("failed check %q, want %q or %q", failed.Check, capgo.CheckDecrypt, capgo.CheckDigest)
				}
				return
			}
			if failed.Check != test.want {
				t.Errorf("failed check %q, want %q (%v)", failed.Check, test.want, err)
			}
			wantError(t, err, test.says)
			wantError(t, err, string(test.want)+": ")
			if errors.Unwrap(failed) == nil {
				t.Error("the check's own error is not wrapped")
			}
		})
	}
}

// Any bit of the encrypted bundle, once flipped, must keep it from installing.
func TestVerifyBundleEveryBit(t *testing.T) {
	u := ownKey().seal(t, pattern(40), capgo.FormatHex)
	for bit := range 8 * len(u.encrypted) {
		v := u
		v.encrypted = flip(u.encrypted, bit)
		if _, err := v.verify(ownKey(), nil); err == nil {
			t.Fatalf("verified with bit %d of %d flipped", bit, 8*len(u.encrypted))
		}
	}
}

// A broken disk or connection is not a forged bundle.
func TestVerifyBundleIOErrors(t *testing.T) {
	u := ownKey().seal(t, pattern(chunk+100), capgo.FormatHex)
	verify := func(src io.Reader, dst io.Writer) error {
		_, err := capgo.VerifyBundle(ownKey().public, src, u.checksum, u.sessionKey, dst)
		return err
	}
	half := func(err error) io.Reader {
		return io.MultiReader(bytes.NewReader(u.encrypted[:chunk/2+3]), iotest.ErrReader(err))
	}
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"source fails", verify(half(errDisk), nil), errDisk},
		{"source breaks off", verify(half(io.ErrUnexpectedEOF), nil), io.ErrUnexpectedEOF},
		{"source fails at its end", verify(io.MultiReader(bytes.NewReader(u.encrypted), iotest.ErrReader(errDisk)), nil), errDisk},
		{"source gives nothing", verify(idleReader{}, nil), io.ErrNoProgress},
		{"target fails", verify(bytes.NewReader(u.encrypted), &failAfter{10}), errDisk},
		{"target fails at the end", verify(bytes.NewReader(u.encrypted), &failAfter{chunk + 50}), errDisk},
		{"target takes less", verify(bytes.NewReader(u.encrypted), shortWriter{}), io.ErrShortWrite},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, test.want) {
				t.Errorf("%v, want one that is %v", test.err, test.want)
			}
			var failed *capgo.CheckError
			if errors.As(test.err, &failed) {
				t.Errorf("reported as the failed check %q", failed.Check)
			}
		})
	}
}

func flip(b []byte, bit int) []byte {
	out := bytes.Clone(b)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}
