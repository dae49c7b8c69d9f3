package capgo

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	sessionKeySize = 16
	ivSize         = 16
)

// SessionKey is the AES-128 key of one upload, in the clear. Only a client that
// encrypts or decrypts a bundle ever holds one; it came out of a [WrappedKey].
// It prints as "[session key]", whatever the verb, so that it cannot slip into a
// log. The zero SessionKey, and a forgotten one, encrypt and decrypt nothing.
type SessionKey struct {
	// A function, because fmt does not ask the methods of what is in an unexported
	// field of somebody else's struct: it prints the field, through one pointer
	// too, but of a function only the address. Copies share the key, so that
	// forgetting one forgets all.
	reveal func() *[sessionKeySize]byte
}

const hiddenSessionKey = "[session key]"

// String hides the key.
func (SessionKey) String() string { return hiddenSessionKey }

// GoString hides the key.
func (SessionKey) GoString() string { return hiddenSessionKey }

// Format hides the key from every verb, also from those, like %d, for which
// fmt would not ask String.
func (SessionKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hiddenSessionKey) }

// Forget overwrites the key.
func (k *SessionKey) Forget() {
	if k != nil && k.reveal != nil {
		clear(k.reveal()[:])
	}
}

// cipher returns AES under the key. A key of zeros is one that was never unwrapped
// or was forgotten: to encrypt under it would be to publish the bundle.
func (k *SessionKey) cipher() (cipher.Block, error) {
	if k == nil || k.reveal == nil || *k.reveal() == [sessionKeySize]byte{} {
		return nil, errors.New("the session key is empty: it was not unwrapped, or was forgotten already")
	}
	return aes.NewCipher(k.reveal()[:])
}

// IV is the initialisation vector that goes with a session key.
type IV [ivSize]byte

// NewIV draws an IV from the system's generator.
func NewIV() IV {
	var iv IV
	rand.Read(iv[:])
	return iv
}

// WrappedKey is what an update calls session_key: an IV and the AES key under
// the private-key operation. Whoever has the app's public key can unwrap it: it
// hides the bundle from storage and network, not from the app's users.
type WrappedKey struct {
	IV      IV
	Wrapped Signature
}

// String returns base64(IV) + ":" + base64(wrapped key), the form on the wire.
func (w WrappedKey) String() string {
	return base64.StdEncoding.EncodeToString(w.IV[:]) + ":" + base64.StdEncoding.EncodeToString(w.Wrapped[:])
}

// ParseWrappedKey reads the form that [WrappedKey.String] writes and no other: an
// IV of exactly 16 bytes and a wrapped key of exactly 256, in base64 with padding
// (RFC 4648, section 4) and without line breaks.
func ParseWrappedKey(s string) (WrappedKey, error) {
	// encoding/base64 skips line breaks even when it is strict; phones do not.
	if strings.ContainsAny(s, "\r\n") {
		return WrappedKey{}, errors.New("session key: found a line break, want base64(iv):base64(wrapped key) on one line")
	}
	left, right, ok := strings.Cut(s, ":")
	if !ok {
		return WrappedKey{}, errors.New("session key: found no colon, want base64(iv):base64(wrapped key)")
	}
	iv, err := base64.StdEncoding.Strict().DecodeString(left)
	if err != nil {
		return WrappedKey{}, errors.New("session key: the part before the colon is not base64, want a 16-byte IV")
	}
	if len(iv) != ivSize {
		return WrappedKey{}, fmt.Errorf("session key: found an IV of %d bytes, want %d", len(iv), ivSize)
	}
	wrapped, err := base64.StdEncoding.Strict().DecodeString(right)
	if err != nil {
		return WrappedKey{}, errors.New("session key: the part after the colon is not base64, want a 256-byte wrapped key")
	}
	sig, err := NewSignature(wrapped)
	if err != nil {
		return WrappedKey{}, fmt.Errorf("session key: the wrapped key has %d bytes, want %d", len(wrapped), SignatureSize)
	}
	return WrappedKey{IV(iv), sig}, nil
}

// Unwrap recovers the AES key with the app's public key, as a phone does.
func (k *PublicKey) Unwrap(w WrappedKey) (*SessionKey, error) {
	b, err := k.Recover(w.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	defer clear(b)
	if len(b) != sessionKeySize {
		return nil, fmt.Errorf("session key: found %d bytes inside, want %d", len(b), sessionKeySize)
	}
	key := [sessionKeySize]byte(b)
	return &SessionKey{func() *[sessionKeySize]byte { return &key }}, nil
}
