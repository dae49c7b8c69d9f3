package client

import (
	"errors"
	"fmt"
	"strings"
)

// maxToken is the longest token that is sent, in bytes.
const maxToken = 16 << 10

// WithToken has submissions and cancellations carry the OIDC ID token of a CI job
// (OpenID Connect Core 1.0), by which the daemon knows the job. It goes to the daemon
// only, and is in no error. Other calls do not carry it.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// CheckToken says what is wrong with the form of a token, if anything: it is a JWT
// in its compact form (RFC 7519, section 3). It says nothing of what is in it.
func CheckToken(token string) error {
	switch {
	case token == "":
		return errors.New("token: found nothing, want an OIDC ID token")
	case len(token) > maxToken:
		return fmt.Errorf("token: found %d bytes, want at most %d", len(token), maxToken)
	case strings.Count(token, ".") != 2 || strings.ContainsFunc(token, notBase64URL):
		return errors.New("token: found something else than an OIDC ID token, want three parts of base64url with dots between them")
	}
	return nil
}

func notBase64URL(c rune) bool {
	alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return !alphanumeric && c != '-' && c != '_' && c != '.'
}

// authorization returns the header of a call that carries the token, if there is one.
func (c *Client) authorization() (map[string]string, error) {
	if c.token == "" {
		return map[string]string{}, nil
	}
	if err := CheckToken(c.token); err != nil {
		return nil, err
	}
	return map[string]string{"Authorization": "Bearer " + c.token}, nil
}
