package idtoken_test

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/policy"
)

const fuzzIssuer = "https://ci.example.com"

// fuzzRig is a verifier of one key, the same each time, so that a corpus stays
// good.
func fuzzRig(f *testing.F) (*idtoken.Verifier, *idtokentest.Key, *clock) {
	f.Helper()
	key := &idtokentest.Key{ID: "fuzz", Alg: jose.EdDSA, Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	path := filepath.Join(f.TempDir(), "jwks.json")
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
	if err := os.WriteFile(path, mustJSON(f, set), 0o600); err != nil {
		f.Fatal(err)
	}
	c := newClock()
	v, err := idtoken.New(idtoken.Config{
		Issuers: []idtoken.Issuer{{Name: "ci", URL: fuzzIssuer, Audience: idtokentest.Audience, JWKSFile: path}},
		Now:     c.Now, ReadFile: readFile, Log: zap.NewNop(),
	})
	if err != nil {
		f.Fatal(err)
	}
	return v, key, c
}

func fuzzClaims(now time.Time) map[string]any {
	return map[string]any{
		"iss": fuzzIssuer, "aud": idtokentest.Audience, "sub": "repo:acme/shop", "jti": "1",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

// FuzzToken has strangers' bytes judged: nothing but what the issuer signed is
// believed, and no error shows it.
func FuzzToken(f *testing.F) {
	v, key, c := fuzzRig(f)
	good := key.Sign(f, mustJSON(f, fuzzClaims(c.Now())), nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("e30.e30.e30")
	f.Add("..")
	f.Add(b64([]byte(`{"alg":"none","kid":"fuzz"}`)) + "." + b64(mustJSON(f, fuzzClaims(c.Now()))) + ".AA")
	f.Add(key.Sign(f, []byte(`{"iss":"https://ci.example.com","iss":"x"}`), map[string]any{"jku": "https://evil.example.com"}))
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.Verify(t.Context(), raw)
		mustBeJudged(t, c, raw, got, err)
		if err == nil && raw != good {
			t.Errorf("believed %q, which is not what was signed", raw)
		}
	})
}

// FuzzClaims has anything signed by the issuer: whatever is believed is what an ID
// token must be.
func FuzzClaims(f *testing.F) {
	v, key, c := fuzzRig(f)
	f.Add(mustJSON(f, fuzzClaims(c.Now())))
	f.Add([]byte(`{"iss":"https://ci.example.com","ISS":"x","aud":["https://bundlesign.example.com"],"sub":"a","jti":"b","iat":1.795348800e9,"exp":1795348801,"n":1e999}`))
	f.Add([]byte(`{"iss":"https://ci.example.com","_claim_names":{"a":"b"}}`))
	f.Add([]byte(`[[[[[[[[[]]]]]]]]]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) == 0 {
			return // go-jose signs that as a detached payload
		}
		raw := key.Sign(t, payload, nil)
		got, err := v.Verify(t.Context(), raw)
		mustBeJudged(t, c, raw, got, err)
	})
}

func mustBeJudged(t *testing.T, c *clock, raw string, got *policy.Token, err error) {
	t.Helper()
	if err != nil {
		var refused *idtoken.RefusedError
		if !errors.As(err, &refused) || got != nil {
			t.Errorf("got %+v, %v, want it refused", got, err)
		}
		mustNotShow(t, err, raw)
		return
	}
	now := c.Now()
	switch aud := got.Claims["aud"].(type) {
	case string:
		if aud != idtokentest.Audience {
			t.Errorf("believed a token for %q", aud)
		}
	case []any:
		if len(aud) != 1 || aud[0] != idtokentest.Audience {
			t.Errorf("believed a token for %v", aud)
		}
	default:
		t.Errorf("believed a token for %v", aud)
	}
	if got.Issuer != "ci" || got.Claims["iss"] != fuzzIssuer || got.Subject == "" || got.Subject != got.Claims["sub"] ||
		got.ID == "" || got.ID != got.Claims["jti"] || !got.Expires.After(now) || got.Expires.After(now.Add(idtoken.MaxLifetime)) ||
		strings.ContainsAny(got.Subject+got.ID, "\n\x00") {
		t.Errorf("believed %+v", got)
	}
}
