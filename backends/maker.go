package backends

import (
	"context"
	"crypto/rsa"
)

// KeyMaker puts a new private key into a backend: the beginning of a key's life.
// What its methods did is durable in the backend when they return. They are not
// repeated by themselves: a call that fails says what it may have left behind
// and how to remove it. No error holds a secret.
type KeyMaker interface {
	// Plan says, in sentences for the person who is asked to agree, what Create,
	// or Import if importing, would do: where the key comes to live, with which
	// properties, and what cannot be undone. It looks, and changes nothing; what
	// stands in the way, such as a key of that name, is its error.
	Plan(ctx context.Context, importing bool) ([]string, error)
	// Create makes an RSA-2048 key with exponent 65537 that can sign and nothing
	// else and never leaves the backend, and returns its URI, for the
	// configuration. A key that has versions and exists gets a new version.
	Create(ctx context.Context) (uri string, err error)
	// Import puts a private key in, wrapped on its way so that only the backend
	// can unwrap it, as a key that can sign and nothing else and does not leave
	// the backend again.
	Import(ctx context.Context, private *rsa.PrivateKey) (uri string, err error)
	// Close releases what the maker holds.
	Close() error
}

// Attester is what a [signer.Key] is too if its backend signs statements about
// keys, which others can check.
type Attester interface {
	// Attest returns the statement and the certificates that it is to be checked
	// with, as files: names without folders, and contents.
	Attest(ctx context.Context) (map[string][]byte, error)
}
