package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Effect is what a rule does with the requests it matches.
type Effect string

// The effects.
const (
	Allow   Effect = "allow"
	Deny    Effect = "deny"
	Approve Effect = "approve" // people must agree first
)

// Rule matches requests and says what becomes of them. An empty list matches
// everything; the lists of one rule must all match.
type Rule struct {
	// Name identifies the rule in answers and in the log. Unique.
	Name string `json:"name"`
	// Apps are globs over the app id, Channels over the channel, Versions over
	// the version.
	Apps     []Glob `json:"apps,omitempty"`
	Channels []Glob `json:"channels,omitempty"`
	Versions []Glob `json:"versions,omitempty"`
	// Users are globs over the requester's user name, Groups over the names of
	// its groups, Units over its systemd unit. A requester matches if one of these
	// does; with all three lists empty, everybody who can reach the socket does.
	Users  []Glob `json:"users,omitempty"`
	Groups []Glob `json:"groups,omitempty"`
	Units  []Glob `json:"units,omitempty"`
	// Tokens are names of issuers: the requester must have a token of one of them,
	// besides what the other lists want. Empty: none is needed.
	Tokens []Glob `json:"tokens,omitempty"`
	// When is an expression in CEL, or "": the rule matches only if it is true.
	// If it cannot be evaluated, the request is denied. It is evaluated only if
	// all the lists match. cel.go says what it is made of.
	When string `json:"when,omitempty"`
	// BreakGlass makes it a rule for emergencies: it matches requests that say so
	// and no others, and those match no other rules. They pass freezes and limits.
	// It needs approvals.
	BreakGlass bool `json:"break_glass,omitempty"`
	// Effect is what happens to a request that matches.
	Effect Effect `json:"effect"`
	// Message is told to a requester that this rule denies, or has wait for
	// approvals.
	Message string `json:"message,omitempty"`
	// Approvals are who must agree, of a rule that wants approvals: all of these
	// requirements must be met, and one person counts for one of them only.
	Approvals []Requirement `json:"approvals,omitempty"`
	// Expires is how long a request may wait for approvals: from a minute to 30
	// days; 0 means a day.
	Expires time.Duration `json:"expires,omitempty"`
	// Limits bound what is signed by this rule, or are nil.
	Limits *Limits `json:"limits,omitempty"`
}

// MaxQuorum is how many people may have to agree to one thing, so that all of them
// can be named in an entry of the log.
const MaxQuorum = 50

// Requirement is a number of people who must agree.
type Requirement struct {
	// From are names of groups of people; a member of any of them counts.
	From []string `json:"from"`
	// Threshold is how many of them must agree, from 1 to 100.
	Threshold int `json:"threshold"`
	// UserVerification demands that the key is a FIDO2 key that has verified its
	// user, by PIN or fingerprint, for each approval.
	UserVerification bool `json:"user_verification,omitempty"`
}

// String says in words what is wanted: "2 of release or security".
func (r Requirement) String() string {
	s := fmt.Sprintf("%d of %s", r.Threshold, strings.Join(r.From, " or "))
	if r.UserVerification {
		s += " with a key that verifies its user"
	}
	return s
}

// Limits bound what is signed.
type Limits struct {
	// IncreasingVersions: a version must be above every version signed before for
	// the same app and channel, by the precedence of semver 2.0.0; the same
	// version is taken again for the same bundle only.
	IncreasingVersions bool `json:"increasing_versions,omitempty"`
	// Rates bound how many requests are signed in a span of time.
	Rates []Rate `json:"rates,omitempty"`
}

// Rate bounds how many requests are signed in any span of time of this length.
type Rate struct {
	Most   int           `json:"most"`   // from 1
	Within time.Duration `json:"within"` // from a second to 366 days
	Per    Scope         `json:"per"`
}

// Scope is what the requests of a [Rate] have in common.
type Scope string

// The scopes.
const (
	PerRule      Scope = "rule"
	PerApp       Scope = "app"
	PerRequester Scope = "requester" // see [Policy.Account]
)

// clone returns a copy that shares nothing with r.
func (r Rule) clone() Rule {
	for _, globs := range []*[]Glob{&r.Apps, &r.Channels, &r.Versions, &r.Users, &r.Groups, &r.Units, &r.Tokens} {
		*globs = slices.Clone(*globs)
	}
	r.Approvals = cloneRequirements(r.Approvals)
	if r.Limits != nil {
		r.Limits = r.Limits.clone()
	}
	return r
}

func (l *Limits) clone() *Limits {
	return &Limits{l.IncreasingVersions, slices.Clone(l.Rates)}
}
