package capgo_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestRecover(t *testing.T) {
	key := ownKey()
	for _, n := range []int{0, 1, 16, 32, 48, 51, capgo.SignatureSize - 11} {
		want := pattern(n)
		got, err := key.public.Recover(key.bytes(t, want))
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %x", n, got)
		}
	}
}

// Blocks that only the owner of the private key could sign, so that nothing but
// the padding is wrong with them. A parser that forgives one of these is what
// signature forgery against small exponents is made of.
func TestRecoverRefusesPadding(t *testing.T) {
	key := ownKey()
	digest := pattern(32)
	end := append([]byte{0}, digest...)
	spoil := func(at int, b byte) []byte {
		good := block([]byte{0, 1}, 0xFF, end)
		good[at] = b
		return good
	}
	last := capgo.SignatureSize - len(end) - 1 // the last padding byte
	for _, test := range []struct {
		name  string
		block []byte
	}{
		{"block type 0", block([]byte{0, 0}, 0xFF, end)},
		{"block type 2", block([]byte{0, 2}, 0xFF, end)},
		{"block type 2, padded with 5A", block([]byte{0, 2}, 0x5A, end)},
		{"padded with 00", block([]byte{0, 1}, 0x00, end)},
		{"padded with FE", block([]byte{0, 1}, 0xFE, end)},
		{"padded with 01", block([]byte{0, 1}, 0x01, end)},
		{"first padding byte is FE", spoil(2, 0xFE)},
		{"first padding byte is 00", spoil(2, 0x00)},
		{"a padding byte in the middle is 7F", spoil(100, 0x7F)},
		{"last padding byte is FE", spoil(last, 0xFE)},
		{"no separator", spoil(last+1, 0x01)},
		{"no payload and no separator", block([]byte{0, 1}, 0xFF, nil)},
		{"seven bytes of padding", block(append([]byte{0, 1}, bytes.Repeat([]byte{0xFF}, 7)...), 0x11, end)},
		{"seven bytes of padding and the separator", append(append([]byte{0, 1}, append(bytes.Repeat([]byte{0xFF}, 7), 0)...), pattern(capgo.SignatureSize-10)...)},
		{"no padding", append([]byte{0, 1, 0}, pattern(capgo.SignatureSize-3)...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := key.public.Recover(key.raw(t, test.block))
			if err == nil {
				t.Fatalf("recovered %d bytes: %x", len(got), got)
			}
			wantError(t, err, "padding is not PKCS#1 type 1")
		})
	}
	// The control: the same helper with the right padding.
	got, err := key.public.Recover(key.raw(t, block([]byte{0, 1}, 0xFF, end)))
	if err != nil || !bytes.Equal(got, digest) {
		t.Errorf("a proper block gave %x, %v", got, err)
	}
}

// Bleichenbacher's forgery of 2006: padding of the least length, then the
// digest, then whatever makes the number a perfect cube. Here the key's owner
// signs such a block, which is as good a forgery as there can be; its digest
// must not be taken for the payload.
func TestVerifyRefusesShortPaddingWithRubbish(t *testing.T) {
	key := ownKey()
	digest := capgo.Digest(sha256.Sum256([]byte("forged")))
	head := append([]byte{0, 1}, bytes.Repeat([]byte{0xFF}, 8)...)
	head = append(append(head, 0), digest[:]...)
	rubbish := append(head, pattern(capgo.SignatureSize-len(head))...)
	sig := key.raw(t, rubbish)
	wantError(t, key.public.Verify(checksum(t, digest, capgo.FormatHex), sig), "checksum signature: it signs 245 bytes")
	_, err := key.public.Unwrap(capgo.WrappedKey{Wrapped: sig})
	wantError(t, err, "found 245 bytes inside, want 16")
}

func TestRecoverRefusesNumbersOutOfRange(t *testing.T) {
	key := ownKey()
	n := key.private.N
	sig := new(big.Int).SetBytes(func() []byte { s := key.bytes(t, pattern(32)); return s[:] }())
	for _, test := range []struct {
		name string
		s    *big.Int
		want string
	}{
		{"zero", new(big.Int), "padding"},
		{"one", big.NewInt(1), "padding"},
		{"the modulus less one", new(big.Int).Sub(n, big.NewInt(1)), "padding"},
		{"the modulus", n, "not smaller than the key's modulus"},
		{"all ones", new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2048), big.NewInt(1)), "not smaller than the key's modulus"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := key.public.Recover(capgo.Signature(test.s.FillBytes(make([]byte, 256))))
			wantError(t, err, test.want)
		})
	}
	// s and s + N are the same number to RSA; only the first is a signature.
	if double := new(big.Int).Add(sig, n); double.BitLen() <= 2048 {
		_, err := key.public.Recover(capgo.Signature(double.FillBytes(make([]byte, 256))))
		wantError(t, err, "not smaller than the key's modulus")
	}
}

func TestVerify(t *testing.T) {
	key := ownKey()
	digest := capgo.Digest(pattern(32))
	for _, p := range []capgo.Payload{
		checksum(t, digest, capgo.FormatHex),
		checksum(t, digest, capgo.FormatLegacy),
		capgo.SessionKeyPayload(),
	} {
		t.Run(p.Kind().String(), func(t *testing.T) {
			sig := key.sign(t, p)
			if err := key.public.Verify(p, sig); err != nil {
				t.Errorf("a good signature: %v", err)
			}
			if err := otherKey().public.Verify(p, sig); err == nil {
				t.Error("another key's signature verified")
			}
			for _, bit := range []int{0, 7, 1000, 2047} {
				flipped := sig
				flipped[bit/8] ^= 1 << (bit % 8)
				if err := key.public.Verify(p, flipped); err == nil {
					t.Errorf("verified with bit %d flipped", bit)
				}
			}
		})
	}
}

func TestVerifyRefusesAnotherPayload(t *testing.T) {
	key := ownKey()
	digest, other := capgo.Digest(pattern(32)), capgo.Digest{1}
	payloads := []capgo.Payload{
		checksum(t, digest, capgo.FormatHex),
		checksum(t, other, capgo.FormatHex),
		checksum(t, digest, capgo.FormatLegacy),
		checksum(t, other, capgo.FormatLegacy),
		capgo.SessionKeyPayload(),
	}
	for i, signed := range payloads {
		sig := key.sign(t, signed)
		for j, asked := range payloads {
			if err := key.public.Verify(asked, sig); (err == nil) != (i == j) {
				t.Errorf("signed payload %d (%s), verified as %d (%s): %v", i, signed.Kind(), j, asked.Kind(), err)
			}
		}
	}
	err := key.public.Verify(payloads[0], key.sign(t, payloads[1]))
	wantError(t, err, other.String())  // what was found
	wantError(t, err, digest.String()) // what was wanted
}

// An ordinary PKCS#1 signature, with its DigestInfo, is not one of ours.
func TestVerifyRefusesDigestInfo(t *testing.T) {
	key := ownKey()
	digest := sha256.Sum256([]byte("abc"))
	s, err := rsa.SignPKCS1v15(nil, key.private, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	err = key.public.Verify(checksum(t, digest, capgo.FormatHex), capgo.Signature(s))
	wantError(t, err, "it signs 51 bytes")
}

// A session key inside a signature must not be shown by an error about it.
func TestVerifyErrorHidesSessionKey(t *testing.T) {
	key := ownKey()
	secret := pattern(16)
	err := key.public.Verify(checksum(t, capgo.Digest{}, capgo.FormatHex), key.bytes(t, secret))
	wantError(t, err, "it signs 16 bytes")
	if bytes.Contains([]byte(err.Error()), fmt.Appendf(nil, "%x", secret[:4])) {
		t.Errorf("the error shows the session key: %v", err)
	}
}
