package policy

import (
	"fmt"
	"time"
)

// Identity is who asks: the peer of the socket, as the kernel vouches for it, and
// the bearer of a token, as its issuer does.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	User   string   `json:"user"`             // the name of UID, or "" if it has none
	Groups []string `json:"groups,omitempty"` // names of the primary and supplementary groups
	// Unit is the systemd unit that the peer runs in, such as
	// "actions-runner.service", or "" if it runs in none.
	Unit string `json:"unit,omitempty"`
	// Token is the OIDC ID token that came with the request, or nil.
	Token *Token `json:"token,omitempty"`
}

// Token is an OIDC ID token whose signature, issuer, audience and times were
// checked.
type Token struct {
	// Issuer is the configured name of the issuer, not its URL.
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"` // claim sub
	// ID is the claim jti, by which the token is known again.
	ID      string    `json:"jti"`
	Expires time.Time `json:"expires"`
	// Claims are all claims as JSON values.
	Claims map[string]any `json:"claims,omitempty"`
}

// String names the identity for people: "alice (uid 1000)".
func (id Identity) String() string {
	name := fmt.Sprintf("uid %d", id.UID)
	if id.User != "" {
		name = fmt.Sprintf("%s (uid %d)", id.User, id.UID)
	}
	if id.Token != nil {
		name += fmt.Sprintf(" with a token of %s for %q", id.Token.Issuer, id.Token.Subject)
	}
	return name
}
