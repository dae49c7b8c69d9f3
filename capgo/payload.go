package capgo

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// PayloadKind says which of the three things a [Payload] asks a key to sign.
type PayloadKind byte

// The kinds, which are also the first byte of a payload's binary form.
const (
	kindInvalid  PayloadKind = 0
	KindChecksum PayloadKind = 'C' // the 32 bytes of a digest
	KindLegacy   PayloadKind = 'L' // the 48 bytes derived from a digest
	KindSession  PayloadKind = 'S' // 16 bytes drawn when the key is used
)

// String names the kind for messages.
func (k PayloadKind) String() string {
	switch k {
	case KindChecksum:
		return "checksum"
	case KindLegacy:
		return "legacy checksum"
	case KindSession:
		return "session key"
	}
	return fmt.Sprintf("invalid kind %d", byte(k))
}

// Payload is an order to sign, and the only thing that a key backend accepts.
// It holds a digest or nothing: the bytes that are signed are derived from it by
// [Payload.Material] at the last moment. A session key is therefore never in a
// Payload; it is drawn in the process that uses the key, wrapped, and forgotten.
//
// The zero Payload is invalid. Payloads are comparable and safe to copy.
type Payload struct {
	kind   PayloadKind
	digest Digest
}

// ChecksumPayload returns the order to sign the checksum of d in the given form.
func ChecksumPayload(d Digest, f ChecksumFormat) (Payload, error) {
	switch f {
	case FormatHex:
		return Payload{KindChecksum, d}, nil
	case FormatLegacy:
		return Payload{KindLegacy, d}, nil
	}
	return Payload{}, fmt.Errorf("checksum format: found %q, want %q or %q", f, FormatHex, FormatLegacy)
}

// SessionKeyPayload returns the order to draw a fresh AES-128 key and wrap it.
func SessionKeyPayload() Payload { return Payload{kind: KindSession} }

// Kind returns what is to be signed.
func (p Payload) Kind() PayloadKind { return p.kind }

// Material returns the bytes that the private key signs: 32, 48 or 16 of them.
//
// For a session key each call draws anew: the SHA-256 of 32 bytes of the
// system's generator and of entropy, cut to 16 bytes. Entropy is what the
// backend's own generator gave, or nil; because it is hashed together with the
// system's, it can add to the strength of the key but not choose it. Entropy is
// ignored for the other kinds. The caller clears the result after use.
//
// Material fails only for the zero Payload.
func (p Payload) Material(entropy []byte) ([]byte, error) {
	switch p.kind {
	case KindChecksum:
		return append([]byte(nil), p.digest[:]...), nil
	case KindLegacy:
		return p.digest.legacyBytes(), nil
	case KindSession:
		return drawSessionKey(entropy), nil
	}
	return nil, fmt.Errorf("capgo: %s payload cannot be signed", p.kind)
}

func drawSessionKey(entropy []byte) []byte {
	var system [32]byte
	rand.Read(system[:]) // never fails: crypto/rand crashes the program instead
	h := sha256.New()
	h.Write([]byte("bundlesign session key v1\x00"))
	h.Write(system[:])
	h.Write(entropy)
	sum := h.Sum(nil)
	clear(system[:])
	key := append([]byte(nil), sum[:sessionKeySize]...)
	clear(sum)
	return key
}

// payloadWireSize is the length of a payload's binary form: kind and digest.
const payloadWireSize = 1 + sha256.Size

// MarshalBinary returns the 33-byte form in which a payload goes to a module's
// child process: the kind, then the digest (zeros for a session key).
func (p Payload) MarshalBinary() ([]byte, error) {
	if p.kind == kindInvalid {
		return nil, fmt.Errorf("capgo: the zero payload has no binary form")
	}
	return append([]byte{byte(p.kind)}, p.digest[:]...), nil
}

// UnmarshalBinary reads what [Payload.MarshalBinary] wrote. What it can make is
// what the constructors can make: a digest in one of two forms, or the order to
// draw a session key.
func (p *Payload) UnmarshalBinary(b []byte) error {
	if len(b) != payloadWireSize {
		return fmt.Errorf("capgo: payload: found %d bytes, want %d", len(b), payloadWireSize)
	}
	q := Payload{kind: PayloadKind(b[0]), digest: Digest(b[1:])}
	switch q.kind {
	case KindChecksum, KindLegacy:
	case KindSession:
		if q.digest != (Digest{}) {
			return fmt.Errorf("capgo: payload: a session key carries no bytes of the caller's")
		}
	default:
		return fmt.Errorf("capgo: payload: found kind %d, want %d, %d or %d", b[0], KindChecksum, KindLegacy, KindSession)
	}
	*p = q
	return nil
}
