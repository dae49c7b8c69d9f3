// Package idtoken checks OIDC ID tokens: the short-lived JWTs by which a CI
// service says which job is asking.
//
// Its invariant is that a token that it returns was signed by a current key of
// exactly one configured issuer, for this daemon and nobody else, is valid now and
// for at most [MaxLifetime], and has an ID by which a replay can be told. What
// it cannot show is an error; there is no token without all of that. It does not
// itself remember which tokens were used.
//
// Everything in a token is a stranger's until the signature is verified: sizes are
// bounded before anything is parsed, the only thing believed before that is which
// of the configured issuers is to be asked, and keys in the token's own header are
// never looked at. No error holds the token.
//
// Rules are those of OpenID Connect Core 1.0, section 3.1.3.7, and RFC 8725 (best
// current practices for JWTs), stricter where a comment says so.
package idtoken

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/policy"
)

// MaxLifetime is the longest time from now that a token may be valid for. It
// bounds how long used tokens have to be remembered.
const MaxLifetime = 24 * time.Hour

// MaxSkew is how far ahead of this machine's clock an issuer's may be: a token
// issued or valid from up to that later is good already. The expiry is exact, so
// that a used token can be forgotten when it has expired.
const MaxSkew = 60 * time.Second

// Issuer is one issuer whose tokens are believed.
type Issuer struct {
	// Name is what rules and the log call it.
	Name string
	// URL is what the claim iss must be, byte for byte.
	URL string
	// Audience is what the claim aud must be.
	Audience string
	// Algorithms are those that a token may be signed with, of [Algorithms]. None:
	// all of them.
	Algorithms []string
	// JWKSFile is a file with the issuer's keys as a JSON Web Key Set (RFC 7517).
	// It is read again whenever it has changed. Empty: they are got from the issuer,
	// by OpenID Connect Discovery 1.0.
	JWKSFile string
	// CA are the only certificate authorities that may vouch for the issuer's
	// server. Nil: those of the system.
	CA *x509.CertPool
}

// Config is what a [Verifier] is made of.
type Config struct {
	Issuers []Issuer
	// Now is the clock that tokens are judged by.
	Now func() time.Time
	// ReadFile reads a JWKSFile of at most limit bytes. It decides whether the file
	// is to be believed, too.
	ReadFile func(path string, limit int64) ([]byte, error)
	Log      *zap.Logger
}

// Algorithms lists the signature algorithms (RFC 7518, RFC 8037) that a token may
// have. All are asymmetric: with HS256 whoever knows a public key could sign.
func Algorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
	}
}

// Verifier checks tokens of the configured issuers. It is safe for concurrent use
// and starts no goroutines that outlive a call.
type Verifier struct {
	now     func() time.Time
	issuers []*issuer
}

// issuer is a configured issuer with its keys.
type issuer struct {
	Issuer
	keys keySource
}

// keySource finds the public keys of an issuer that have this ID and are for this
// algorithm: one, unless the issuer gave several the same ID. An error is a
// [RefusedError] if there is no such key and an [UnavailableError] if that cannot
// be told now.
type keySource interface {
	find(ctx context.Context, kid, alg string) (keys, error)
}

// New makes a verifier. It connects to nobody.
func New(c Config) (*Verifier, error) {
	if c.Now == nil || c.Log == nil {
		return nil, errors.New("idtoken: a clock and a logger are required")
	}
	v := &Verifier{now: c.Now}
	for _, conf := range c.Issuers {
		if err := CheckURL(conf.URL); err != nil {
			return nil, fmt.Errorf("token issuer %q: %w", conf.Name, err)
		}
		if conf.Name == "" || conf.Audience == "" {
			return nil, fmt.Errorf("token issuer %q: a name and an audience are required", conf.Name)
		}
		for _, other := range v.issuers {
			if other.URL == conf.URL || other.Name == conf.Name {
				return nil, fmt.Errorf("token issuer %q: its name or URL is that of %q, too", conf.Name, other.Name)
			}
		}
		if len(conf.Algorithms) == 0 {
			conf.Algorithms = Algorithms()
		}
		for _, alg := range conf.Algorithms {
			if !slices.Contains(Algorithms(), alg) {
				return nil, fmt.Errorf("token issuer %q: found the algorithm %q, want some of %v", conf.Name, alg, Algorithms())
			}
		}
		is := &issuer{Issuer: conf}
		log := c.Log.With(zap.String("token_issuer", conf.Name))
		switch {
		case conf.JWKSFile == "":
			is.keys = newRemote(conf, c.Now, log)
		case c.ReadFile == nil:
			return nil, fmt.Errorf("token issuer %q: there is nothing to read its jwks_file with", conf.Name)
		default:
			is.keys = newKeyFile(conf, c.ReadFile, log)
		}
		v.issuers = append(v.issuers, is)
	}
	return v, nil
}

// CheckURL says what is wrong with the URL of an issuer (OpenID Connect Core 1.0,
// section 2: https, no query, no fragment), or returns nil.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return fmt.Errorf("found %s, want a URL such as https://ci.example.com", quote(raw))
	case u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("found %s, want one that begins with https:// and a host", quote(raw))
	case u.User != nil:
		return errors.New("found a user name or password in it, want none")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.String() != raw:
		return fmt.Errorf("found %s, want it without query and fragment, exactly as the issuer writes it into its tokens (iss)", quote(raw))
	}
	return nil
}

// Verify checks raw, a JWT in compact form (RFC 7515, section 7.1), and returns
// what it says. An error is a [RefusedError], which is the token's fault, or an
// [UnavailableError], which may pass.
func (v *Verifier) Verify(ctx context.Context, raw string) (*policy.Token, error) {
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	is, err := v.issuerOf(t)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(is.Algorithms, t.alg) {
		return nil, refused("it is signed with %s, want one of %v", quote(t.alg), is.Algorithms)
	}
	found, err := is.keys.find(ctx, t.kid, t.alg)
	if err != nil {
		return nil, err
	}
	if err := is.verify(ctx, raw, t, found, v.now()); err != nil {
		return nil, err
	}
	return &policy.Token{Issuer: is.Name, Subject: t.subject, ID: t.id, Expires: t.expires, Claims: t.claims}, nil
}

// issuerOf chooses the issuer whose keys must have signed the token. The token is
// not verified yet; a lie here only has it held against keys that did not sign it.
func (v *Verifier) issuerOf(t *token) (*issuer, error) {
	iss, ok := t.claims["iss"].(string)
	if !ok {
		return nil, refused("it has no issuer (iss)")
	}
	if len(v.issuers) == 0 {
		return nil, refused("no token_issuers are configured")
	}
	var known []string
	for _, is := range v.issuers {
		if is.URL == iss {
			return is, nil
		}
		known = append(known, is.URL)
	}
	return nil, refused("it is from %s, want one from %v (token_issuers)", quote(iss), known)
}

// verify has go-oidc verify the signature of the token with keys of the issuer, and
// holds what was signed against what an ID token must say: go-oidc its way, and
// then check, which is stricter and says what is wrong.
func (is *issuer) verify(ctx context.Context, raw string, t *token, k keys, now time.Time) error {
	set := &recordingSet{keys: k}
	v := oidc.NewVerifier(is.URL, set, &oidc.Config{
		ClientID: is.Audience, SupportedSigningAlgs: []string{t.alg},
		SkipExpiryCheck: true, // it would allow five minutes for nbf
	})
	_, err := v.Verify(ctx, raw)
	// What go-oidc says is not passed on: it may show parts of the token.
	if !set.verified {
		return refused("its signature is not by the key %s of issuer %s", quote(t.kid), is.Name)
	}
	if string(set.payload) != string(t.payload) {
		return refused("what is signed is not what it says")
	}
	if err := t.check(&is.Issuer, now); err != nil {
		return err
	}
	if err != nil {
		return refused("its claims are not those of an ID token")
	}
	return nil
}
