// Package audittest makes keys of transparency logs for tests.
package audittest

import (
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// LogKey is the key pair of a log.
type LogKey struct {
	Signer   note.Signer
	Verifier note.Verifier
	// Public is what a verifier is made from, see [note.NewVerifier].
	Public string
}

// NewLogKey draws the key of a log of that name.
func NewLogKey(t testing.TB, origin string) LogKey {
	t.Helper()
	private, public, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	k := LogKey{Public: public}
	if k.Signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	if k.Verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	return k
}
