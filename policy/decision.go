package policy

import (
	"strconv"
	"time"
)

// Request is what a decision is made about.
type Request struct {
	App     string
	Channel string
	Version string
	Digest  string // SHA-256 of the plain bundle, hex
	Files   int    // of a delta update
	Key     string // name of the key
	// Also are the names of further keys that sign the same.
	Also      []string
	Labels    map[string]string
	Requester Identity
	// BreakGlass is the reason why the request cannot wait for the ordinary
	// rules, or "": it is an ordinary one.
	BreakGlass string
	Time       time.Time
	// Last is what was signed last for the same app and channel; its zero value:
	// nothing yet.
	Last Release
}

// Release is a bundle that was signed.
type Release struct {
	Request string    `json:"request"` // id of the request
	Version string    `json:"version"`
	Digest  string    `json:"digest"`
	Time    time.Time `json:"time"` // when it was signed
}

// Decision is the outcome for one request, with the reason.
type Decision struct {
	Effect     Effect `json:"effect"`
	Rule       string `json:"rule"`        // the rule that decided; "" if none matched
	Reason     string `json:"reason"`      // for people
	PolicyHash string `json:"policy_hash"` // see [Policy.Hash]
	// Of a request that needs approvals: which, and how long it may wait.
	Requirements []Requirement `json:"requirements,omitempty"`
	Expires      time.Duration `json:"expires,omitempty"`
	BreakGlass   bool          `json:"break_glass,omitempty"`
}

// Account names a requester in the limits of a rule: by its token if the rule wants
// one, else by the uid, which nobody can choose.
func (p *Policy) Account(rule string, id Identity) string {
	for i := range p.rules {
		if p.rules[i].Name == rule && len(p.rules[i].Tokens) > 0 {
			return id.Account()
		}
	}
	id.Token = nil
	return id.Account()
}

// Account names a requester: the token's issuer and subject if there is
// a token, else the uid.
func (id Identity) Account() string {
	if id.Token != nil {
		return "token " + id.Token.Issuer + " " + id.Token.Subject
	}
	return "uid " + strconv.FormatUint(uint64(id.UID), 10)
}
