// Package vault uses a private key in the transit secrets engine of HashiCorp Vault
// or OpenBao.
//
// Its invariant is that the key used is exactly one version of one key: each request
// names the version, each answer must be from it, and a key that is rotated goes on
// to sign with the version that apps carry the public half of.
//
// What it assumes of Vault: that it is who its TLS certificate says, and that it tells
// the truth about its keys. The material that is signed, which for a session key is
// the key itself, goes through Vault.
//
// A [Key] signs for apps, a [LogKey] the checkpoints of the audit log, and a [Maker] has
// Vault make keys; each has a policy of its own beside this file, and none needs more.
// All that a Maker does is done once: what may have happened without an answer is told.
//
// There is no goroutine and no state but a token and connections: a token is got,
// renewed and replaced by the calls that need one. So whatever was wrong heals with
// the first call after it was put right.
package vault

import "github.com/bundlesign/bundlesign/signer"

// Backend is the name of this backend in custody evidence.
const Backend = "vault"

// maxInFlight bounds the requests of one key under way; more wait. Past a few for
// each of its processors Vault gets slower, not faster.
const maxInFlight = 16

// Key is one version of one RSA key in Vault.
type Key struct {
	*engine
	entropy entropy
	slots   chan struct{} // one for each request of Sign under way
}

var _ signer.Key = (*Key)(nil)

// Open returns a key. Vault is first spoken to when the key is used.
func Open(cfg Config) *Key {
	return &Key{engine: newEngine(cfg), slots: make(chan struct{}, maxInFlight)}
}
