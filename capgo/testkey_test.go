package capgo_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// A testKey is a private key as a backend holds it. Its method raw does what no
// backend can: the private operation on a block with any padding at all.
type testKey struct {
	private *rsa.PrivateKey
	public  *capgo.PublicKey
}

// Making a key takes a good part of a second, so all tests share two. They are
// the same in every run and in every process of a fuzzer.
var (
	ownKey   = sync.OnceValue(func() testKey { return newTestKey(1) })
	otherKey = sync.OnceValue(func() testKey { return newTestKey(2) })
)

func newTestKey(seed byte) testKey {
	random := rand.NewChaCha8([32]byte{seed})
	prime := func() *big.Int {
		for b := make([]byte, capgo.SignatureSize/2); ; {
			_, _ = random.Read(b) // never fails
			b[0] |= 0xC0          // so that the product has its full length
			b[len(b)-1] |= 1
			if p := new(big.Int).SetBytes(b); p.ProbablyPrime(20) {
				return p
			}
		}
	}
	one := big.NewInt(1)
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	private := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: capgo.KeyExponent},
		D:         new(big.Int).ModInverse(big.NewInt(capgo.KeyExponent), phi),
		Primes:    []*big.Int{p, q},
	}
	private.Precompute()
	if err := private.Validate(); err != nil {
		panic(err)
	}
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		panic(err)
	}
	return testKey{private, public}
}

// bytes signs b as a backend would.
func (k testKey) bytes(t testing.TB, b []byte) capgo.Signature {
	t.Helper()
	s, err := rsa.SignPKCS1v15(nil, k.private, crypto.Hash(0), b)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := capgo.NewSignature(s)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// sign does the whole of a backend's work.
func (k testKey) sign(t testing.TB, p capgo.Payload) capgo.Signature {
	t.Helper()
	material, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k.bytes(t, material)
}

// raw is the private operation on a whole block of 256 bytes, padding included.
func (k testKey) raw(t testing.TB, block []byte) capgo.Signature {
	t.Helper()
	if len(block) != capgo.SignatureSize {
		t.Fatalf("a block of %d bytes", len(block))
	}
	m := new(big.Int).SetBytes(block)
	s := m.Exp(m, k.private.D, k.private.N)
	return capgo.Signature(s.FillBytes(make([]byte, capgo.SignatureSize)))
}

// wrap makes a session key and unwraps it again.
func (k testKey) wrap(t testing.TB) (capgo.WrappedKey, *capgo.SessionKey) {
	t.Helper()
	wrapped := capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: k.sign(t, capgo.SessionKeyPayload())}
	key, err := k.public.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped, key
}

// knownKey is a session key whose bytes the test knows.
func (k testKey) knownKey(t testing.TB, key [16]byte) *capgo.SessionKey {
	t.Helper()
	s, err := k.public.Unwrap(capgo.WrappedKey{Wrapped: k.bytes(t, key[:])})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// block builds an encoded block: start, then as many fill bytes as it takes, end.
func block(start []byte, fill byte, end []byte) []byte {
	n := capgo.SignatureSize - len(start) - len(end)
	return bytes.Join([][]byte{start, bytes.Repeat([]byte{fill}, n), end}, nil)
}

// pattern is n bytes that do not repeat with the block or chunk size.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func parsePublicKey(t testing.TB, pem string) *capgo.PublicKey {
	t.Helper()
	k, err := capgo.ParsePublicKeyPEM([]byte(pem))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
