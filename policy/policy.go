// Package policy decides who may have what signed.
//
// A [Policy] is an ordered list of rules. The first rule that matches a request
// decides; if none matches, the request is denied. The package is pure: it does
// no I/O, has no clock, and gives the same decision for the same input. Its
// invariant is that nothing is ever allowed by accident: every failure to
// decide is a denial that says why.
//
// It assumes that its caller has established who the requester is
// ([Identity]) and has checked the form of app, channel and version.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Effect is what a rule does with the requests it matches.
type Effect string

// The effects.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// Identity is who asks: the peer of the socket, as the kernel vouches for it.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	User   string   `json:"user"`             // the name of UID, or "" if it has none
	Groups []string `json:"groups,omitempty"` // names of the primary and supplementary groups
}

// String names the identity for people: "alice (uid 1000)".
func (id Identity) String() string {
	if id.User == "" {
		return fmt.Sprintf("uid %d", id.UID)
	}
	return fmt.Sprintf("%s (uid %d)", id.User, id.UID)
}

// Request is what a decision is made about.
type Request struct {
	App       string
	Channel   string
	Version   string
	Requester Identity
}

// Rule matches requests and says what becomes of them. An empty list matches
// everything; the lists of one rule must all match.
type Rule struct {
	// Name identifies the rule in answers and in the log. Unique.
	Name string `json:"name"`
	// Apps are globs over the app id.
	Apps []Glob `json:"apps,omitempty"`
	// Channels are globs over the channel.
	Channels []Glob `json:"channels,omitempty"`
	// Users are globs over the requester's user name, Groups over the names of
	// its groups. A requester matches if a user glob or a group glob does; with
	// both lists empty, everybody who can reach the socket does.
	Users  []Glob `json:"users,omitempty"`
	Groups []Glob `json:"groups,omitempty"`
	// Effect is what happens to a request that matches.
	Effect Effect `json:"effect"`
	// Message is told to a requester that this rule denies.
	Message string `json:"message,omitempty"`
}

// Decision is the outcome for one request, with the reason.
type Decision struct {
	Effect     Effect `json:"effect"`
	Rule       string `json:"rule"`        // the rule that decided; "" if none matched
	Reason     string `json:"reason"`      // for people
	PolicyHash string `json:"policy_hash"` // see [Policy.Hash]
}

// Policy is an immutable, validated list of rules. Its zero value denies all.
type Policy struct {
	rules []Rule
	hash  string
}

// RuleError says which rule, by its position from zero, is wrong, and in which
// field.
type RuleError struct {
	Index int
	Field string
	Err   error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rules[%d].%s: %v", e.Index, e.Field, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }

// New validates rules and returns the policy, or all that is wrong with them:
// an error that joins one [*RuleError] for each fault.
func New(rules []Rule) (*Policy, error) {
	var errs []error
	bad := func(i int, field, format string, args ...any) {
		errs = append(errs, &RuleError{i, field, fmt.Errorf(format, args...)})
	}
	seen := make(map[string]int)
	for i, r := range rules {
		if r.Name == "" {
			bad(i, "name", "found no name, want one: it stands in answers and in the log")
		} else if first, dup := seen[r.Name]; dup {
			bad(i, "name", "found %q, which rules[%d] has already; names are unique", r.Name, first)
		} else {
			seen[r.Name] = i
		}
		switch r.Effect {
		case Allow, Deny:
		default:
			bad(i, "effect", "found %q, want %q or %q", r.Effect, Allow, Deny)
		}
		if r.Message != "" && r.Effect == Allow {
			bad(i, "message", "found a message on a rule that allows; a message is for those who are denied")
		}
		for _, list := range []struct {
			field string
			globs []Glob
		}{{"apps", r.Apps}, {"channels", r.Channels}, {"users", r.Users}, {"groups", r.Groups}} {
			for j, g := range list.globs {
				if err := g.check(); err != nil {
					bad(i, fmt.Sprintf("%s[%d]", list.field, j), "%w", err)
				}
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p := &Policy{rules: append([]Rule(nil), rules...)}
	canonical, err := json.Marshal(p.rules)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	sum := sha256.Sum256(canonical)
	p.hash = "sha256:" + hex.EncodeToString(sum[:])
	return p, nil
}

// Hash identifies the policy: "sha256:" and the hex SHA-256 of its rules in a
// canonical form, so that comments and layout of the file do not matter. It
// stands in every log entry about a decision.
func (p *Policy) Hash() string { return p.hash }

// Decide returns the decision of the first rule that matches.
//
// A requester without a user name is denied before any rule is asked: rules speak
// of names, and a rule that denies somebody must not be escaped by having none.
func (p *Policy) Decide(r Request) Decision {
	if r.Requester.User == "" {
		return Decision{
			Effect:     Deny,
			Reason:     fmt.Sprintf("%s has no user name on this machine, and rules speak of names; give it one", r.Requester),
			PolicyHash: p.hash,
		}
	}
	for _, rule := range p.rules {
		if !rule.matches(r) {
			continue
		}
		d := Decision{Effect: rule.Effect, Rule: rule.Name, PolicyHash: p.hash}
		switch {
		case rule.Effect == Allow:
			d.Reason = fmt.Sprintf("rule %q allows it", rule.Name)
		case rule.Message != "":
			d.Reason = fmt.Sprintf("rule %q denies it: %s", rule.Name, rule.Message)
		default:
			d.Reason = fmt.Sprintf("rule %q denies it", rule.Name)
		}
		return d
	}
	return Decision{
		Effect:     Deny,
		Reason:     fmt.Sprintf("no rule matches app %q, channel %q and requester %s", r.App, r.Channel, r.Requester),
		PolicyHash: p.hash,
	}
}

func (r *Rule) matches(q Request) bool {
	return anyMatch(r.Apps, q.App) && anyMatch(r.Channels, q.Channel) && r.matchesRequester(q.Requester)
}

func (r *Rule) matchesRequester(id Identity) bool {
	if len(r.Users) == 0 && len(r.Groups) == 0 {
		return true
	}
	if len(r.Users) > 0 && anyMatch(r.Users, id.User) {
		return true
	}
	if len(r.Groups) > 0 {
		for _, g := range id.Groups {
			if anyMatch(r.Groups, g) {
				return true
			}
		}
	}
	return false
}
