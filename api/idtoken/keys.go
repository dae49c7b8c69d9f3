package idtoken

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a JSON Web Key Set.
const (
	maxJWKS = 256 << 10 // bytes
	maxKeys = 100
	// RSA keys of other sizes are weak, or make each check slow.
	minRSABits = 2048
	maxRSABits = 8192
)

// keys are public keys, each of a kind that go-oidc takes.
type keys []crypto.PublicKey

// keySet is the keys of an issuer that can verify tokens.
type keySet struct {
	byID map[string][]jose.JSONWebKey
}

// parseKeySet reads a JSON Web Key Set (RFC 7517, section 5). As it says there, keys
// of unknown kinds are passed over; so are those that are for encryption, private,
// symmetric, weak or without an ID. If none is left, that is an error.
func parseKeySet(data []byte) (*keySet, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New("found no JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("found %d keys, want at most %d", len(set.Keys), maxKeys)
	}
	s := &keySet{byID: make(map[string][]jose.JSONWebKey)}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil {
			continue
		}
		if k.KeyID == "" || k.Use != "" && k.Use != "sig" || !k.Valid() || !isStrong(k.Key) {
			continue
		}
		s.byID[k.KeyID] = append(s.byID[k.KeyID], k)
	}
	if len(s.byID) == 0 {
		return nil, fmt.Errorf("found %d keys, and none that can verify tokens: want public ones of RSA with %d to %d bits, P-256, P-384, P-521 or Ed25519, with a kid",
			len(set.Keys), minRSABits, maxRSABits)
	}
	return s, nil
}

// isStrong reports whether a key is public, and strong enough.
func isStrong(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return minRSABits <= bits && bits <= maxRSABits && k.E >= 3 && k.E%2 == 1
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// find returns the keys with this ID that are for this algorithm.
func (s *keySet) find(kid, alg string) keys {
	var found keys
	for _, k := range s.byID[kid] {
		if (k.Algorithm == "" || k.Algorithm == alg) && fits(k.Key, alg) {
			found = append(found, k.Key)
		}
	}
	return found
}

// knows reports whether there is a key with this ID, for whatever algorithm.
func (s *keySet) knows(kid string) bool { return len(s.byID[kid]) > 0 }

// fits reports whether a key can be used with an algorithm. RFC 7518, section 3.4,
// ties each algorithm of ECDSA to one curve.
func fits(key any, alg string) bool {
	switch alg {
	case oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512:
		_, ok := key.(*rsa.PublicKey)
		return ok
	case oidc.EdDSA:
		_, ok := key.(ed25519.PublicKey)
		return ok
	}
	curves := map[string]elliptic.Curve{oidc.ES256: elliptic.P256(), oidc.ES384: elliptic.P384(), oidc.ES512: elliptic.P521()}
	k, ok := key.(*ecdsa.PublicKey)
	return ok && k.Curve == curves[alg]
}

// recordingSet is an [oidc.KeySet] of some keys that remembers whether one of them
// verified the token, and what was signed: go-oidc keeps that to itself.
type recordingSet struct {
	keys     keys
	verified bool
	payload  []byte
}

var _ oidc.KeySet = (*recordingSet)(nil)

// VerifySignature implements [oidc.KeySet].
func (s *recordingSet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	set := oidc.StaticKeySet{PublicKeys: s.keys}
	payload, err := set.VerifySignature(ctx, jwt)
	if err != nil {
		return nil, err
	}
	s.verified, s.payload = true, payload
	return payload, nil
}
