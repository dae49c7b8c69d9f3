package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/policy"
)

// Tokens checks the OIDC ID tokens of CI jobs. An error is an
// [idtoken.RefusedError], or an [idtoken.UnavailableError] if that may pass.
type Tokens interface {
	Verify(ctx context.Context, raw string) (*policy.Token, error)
}

var _ Tokens = (*idtoken.Verifier)(nil)

// addToken checks the token that came with a request, if one did, and adds it to
// who asks. A token that is not good is never the same as none: the rules for
// those without one could allow more.
func (s *Server) addToken(r *http.Request, id *policy.Identity) error {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return &idtoken.RefusedError{Reason: "found more than one Authorization header, want one"}
	}
	// RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1).
	scheme, raw, ok := strings.Cut(values[0], " ")
	raw = strings.TrimLeft(raw, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return &idtoken.RefusedError{Reason: "found an Authorization header of another form, want: Bearer TOKEN"}
	}
	if s.config.Tokens == nil {
		return &idtoken.RefusedError{Reason: "no token_issuers are configured"}
	}
	token, err := s.config.Tokens.Verify(r.Context(), raw)
	if err != nil {
		return err
	}
	id.Token = token
	return nil
}
