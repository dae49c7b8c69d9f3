// Package capgo is the wire format of Capgo / Capacitor live updates: what the
// private key signs, how a bundle is encrypted, and what a phone checks.
//
// Its invariant is that the private key never becomes an oracle. The one type
// that a key may be given, [Payload], can only be made here, and in three
// shapes only: the 32-byte SHA-256 of a bundle, the 48-byte legacy form that is
// derived from it, and a 16-byte session key that is drawn at the moment it is
// used. No function turns a caller's bytes of any other shape into a Payload,
// and no function takes a session key from a caller at all.
//
// The format, as the official CLI and the on-device updater implement it, uses
// the raw RSA private operation over EMSA-PKCS1-v1_5 block type 1 padding
// (RFC 8017, section 9.2, without the DigestInfo of step 2) for everything: the
// checksum of a bundle and the wrapping of its AES key are the same primitive.
// Keys are RSA-2048 with exponent 65537 and nothing else.
//
// The package does no I/O of its own, has no clock, and keeps no state. Its
// only source of the outside world is crypto/rand.
package capgo
