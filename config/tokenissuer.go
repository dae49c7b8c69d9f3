package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// TokenIssuer is a service whose OIDC ID tokens are believed, such as GitHub
// Actions or GitLab CI. A change takes effect with the next start of the daemon.
type TokenIssuer struct {
	// What rules, accounts and the log call it: lower-case letters, digits and
	// hyphens, at most 63.
	Name string `yaml:"name" need:"required"`

	// The issuer's URL, exactly as it stands in its tokens (iss): for GitHub
	// "https://token.actions.githubusercontent.com", for GitLab the URL of the
	// instance, such as "https://gitlab.com".
	Issuer string `yaml:"issuer" need:"required"`

	// What the tokens must be for (aud), and for nothing besides. A CI job names
	// it when it asks for its token. Take one that no other service accepts, such
	// as the URL that your company gives this daemon.
	Audience string `yaml:"audience" need:"required"`

	// A file with the issuer's keys (a JSON Web Key Set), for places with no way
	// out. It is read again whenever it has changed. Without it, the keys are got
	// from the issuer by HTTPS, and kept for a day while it cannot be reached.
	JWKSPath string `yaml:"jwks_file" kind:"path" example:"ci.jwks.json"`

	// A PEM file with the only certificate authorities that may vouch for the
	// issuer's server. Left out, those of the system.
	CAPath string `yaml:"ca_file" kind:"path" example:"ci-ca.pem"`

	// The signature algorithms that its tokens may have, of RS256, RS384, RS512,
	// PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA. Left out, all of them.
	Algorithms []string `yaml:"algorithms" range:"1..10" example:"[RS256]"`

	// CA is what CAPath holds, or nil; [Load] sets it.
	CA *x509.CertPool `yaml:"-"`
}

// Bounds of the files of an issuer, in bytes.
const (
	maxJWKSFile = 256 << 10
	maxCAFile   = 1 << 20
)

// maxTokenText bounds issuer and audience, in bytes.
const maxTokenText = 512

// tokenAlgorithms are those of package idtoken.
func tokenAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// checkTokenIssuers reports what is wrong with them, without a look at any file.
func checkTokenIssuers(r *report, issuers []TokenIssuer) {
	names, urls := make(map[string]string), make(map[string]string)
	for i, is := range issuers {
		path := fmt.Sprintf("token_issuers[%d]", i)
		checkKeyName(r, path+".name", is.Name, names)
		if at := path + ".issuer"; r.ok(at) && is.Issuer != "" {
			if err := checkIssuerURL(is.Issuer); err != nil {
				r.errorf(at, "%v", err)
			} else if first, dup := urls[is.Issuer]; dup {
				r.errorf(at, "found %s, which %s has already; a token says by this alone whose it is", quote(is.Issuer), first)
			} else {
				urls[is.Issuer] = at
			}
		}
		if at := path + ".audience"; r.ok(at) && len(is.Audience) > maxTokenText {
			r.errorf(at, "found %d bytes, want at most %d", len(is.Audience), maxTokenText)
		}
		for j, alg := range is.Algorithms {
			at := fmt.Sprintf("%s.algorithms[%d]", path, j)
			switch {
			case !r.ok(at):
			case !slices.Contains(tokenAlgorithms(), alg):
				r.errorf(at, "found %s, want one of %s", quote(alg), strings.Join(tokenAlgorithms(), ", "))
			case slices.Contains(is.Algorithms[:j], alg):
				r.errorf(at, "found %s a second time; want it once", quote(alg))
			}
		}
		if is.JWKSPath != "" && is.CAPath != "" && r.ok(path+".ca_file") {
			r.errorf(path+".ca_file", "found beside jwks_file, want one of them: with keys in a file, the issuer's server is not asked")
		}
	}
}

// checkIssuerURL says what is wrong with the URL of an issuer (OpenID Connect Core
// 1.0, section 2), or returns nil.
func checkIssuerURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxTokenText:
		return errors.New("found no URL, want one such as https://gitlab.com")
	case u.User != nil: // which is not shown
		return errors.New("found a user name or password in the URL, want none")
	case u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("found %s, want a URL that begins with https:// and a host", quote(text))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.String() != text:
		return fmt.Errorf("found %s, want it without query and fragment, as it stands in the tokens (iss)", quote(text))
	}
	return nil
}

// loadTokenIssuer reads the files of an issuer.
func (l *loader) loadTokenIssuer(is *TokenIssuer, path string) {
	// Its keys are read when a token needs them. Here it is seen that they are
	// there, and nobody else's to change.
	l.read(path+".jwks_file", is.JWKSPath, maxJWKSFile, false)
	data := l.read(path+".ca_file", is.CAPath, maxCAFile, false)
	if data == nil {
		return
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		l.errorf(path+".ca_file", `%s: found no certificate, want one or more as PEM ("BEGIN CERTIFICATE")`, is.CAPath)
		return
	}
	is.CA = pool
}

// ReadTrusted reads a file that the configuration names, of at most limit bytes, if
// nobody could have written it but root and the user of this process.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	data, doubts, err := trust{uid: os.Geteuid()}.read(path, limit, false)
	if err := errors.Join(append(doubts, err)...); err != nil {
		return nil, err
	}
	return data, nil
}
