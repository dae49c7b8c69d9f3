package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// parseLogKey reads a signer key in the form of [note.GenerateKey] and returns
// it with its public half. No error shows any of the key.
func parseLogKey(text string) (note.Signer, string, error) {
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, "", errors.New(`found no Ed25519 note signing key ("PRIVATE+KEY+name+hash+key"), want one as "bundlesignd init" makes it`)
	}
	// The form was checked just now. What follows the fourth plus (there may be
	// more in the base64) is the algorithm in one byte and the seed.
	parts := strings.SplitN(text, "+", 5)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return nil, "", errors.New("found a note signing key of an unknown kind, want Ed25519")
	}
	defer clear(key)
	private := ed25519.NewKeyFromSeed(key[1:])
	defer clear(private)
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", errors.New("found an Ed25519 key without a public half")
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, "", err
	}
	return signer, verifier, nil
}
