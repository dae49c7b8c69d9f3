// Package policy decides who may have what signed.
//
// A [Policy] is an ordered list of rules. The first rule that matches a request
// decides; if none matches, the request is denied. The package is pure: it does
// no I/O and has no clock when it decides, and gives the same decision for the
// same input. ([Compile] alone looks something up: the time zones that
// expressions name.) Its invariant is that nothing is ever allowed by accident:
// every failure to decide is a denial that says why.
//
// Names are compared byte by byte: case matters, and so does the way in which a
// letter is encoded. A name that only looks like the one in a rule is another
// name, and what no rule names is denied.
//
// It assumes that its caller has established who the requester is
// ([Identity]) and has checked the form of app, channel and version.
package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Policy is an immutable, validated [Document]. Its zero value denies all. All
// methods may be called concurrently.
type Policy struct {
	rules   []rule
	people  *People
	freezes Freezes
	engine  *engine // of the conditions; nil if no rule has one
	hash    string
}

// rule is a [Rule] that was checked.
type rule struct {
	Rule
	when *condition // nil: none
}

// Hash identifies the policy: "sha256:" and the hex SHA-256 of the whole
// [Document] in a canonical form, so that comments and layout of the file do not
// matter. It stands in every statement and every log entry about a decision.
func (p *Policy) Hash() string { return p.hash }

// Decide returns the decision of the first rule that matches. A request with
// several keys is judged once for each: see keys.go.
//
// A requester without a user name is denied before any rule is asked: rules speak
// of names, and a rule that denies somebody must not be escaped by having none.
//
// A condition that cannot be evaluated denies the request, whatever the rule and
// those after it would do: it is not known whether the rule would have denied it.
func (p *Policy) Decide(q Request) Decision {
	d, _, _, _ := p.decideAll(&q)
	return d
}

// decide judges a request as one of its first key alone. It returns also the rule that decided, or nil, and why its condition could
// not be evaluated, or nil.
func (p *Policy) decide(q *Request) (Decision, *rule, error) {
	if q.Requester.User == "" {
		return p.nameless(q), nil, nil
	}
	run := run{engine: p.engine, request: q}
	defer run.close()
	for i := range p.rules {
		r := &p.rules[i]
		if r.mismatch(q) != noMismatch {
			continue
		}
		ok, err := run.test(r.when)
		if err != nil {
			return p.undecidable(r, err), r, err
		}
		if ok {
			return p.decided(r), r, nil
		}
	}
	return p.unmatched(q), nil, nil
}

func (p *Policy) nameless(q *Request) Decision {
	return Decision{
		Effect:     Deny,
		Reason:     fmt.Sprintf("%s has no user name on this machine, and rules speak of names; give it one", q.Requester),
		PolicyHash: p.hash,
	}
}

func (p *Policy) unmatched(q *Request) Decision {
	rule := "rule"
	if q.BreakGlass != "" {
		rule = "rule for emergencies"
	}
	return Decision{
		Effect:     Deny,
		Reason:     fmt.Sprintf("no %s matches app %q, channel %q and requester %s", rule, q.App, q.Channel, q.Requester),
		PolicyHash: p.hash,
	}
}

func (p *Policy) undecidable(r *rule, err error) Decision {
	return Decision{
		Effect:     Deny,
		Rule:       r.Name,
		Reason:     fmt.Sprintf("the condition of rule %q cannot be evaluated, and so it is denied: %v", r.Name, err),
		PolicyHash: p.hash,
	}
}

func (p *Policy) decided(r *rule) Decision {
	d := Decision{Effect: r.Effect, Rule: r.Name, PolicyHash: p.hash}
	switch r.Effect {
	case Allow:
		d.Reason = fmt.Sprintf("rule %q allows it", r.Name)
	case Approve:
		d.Requirements = cloneRequirements(r.Approvals)
		d.Expires = r.Expires
		d.BreakGlass = r.BreakGlass
		d.Reason = fmt.Sprintf("rule %q wants the approval of %s", r.Name, describe(r.Approvals))
	default: // whatever it is, it is no permission
		d.Effect = Deny
		d.Reason = fmt.Sprintf("rule %q denies it", r.Name)
	}
	if r.Message != "" {
		d.Reason += ": " + r.Message
	}
	return d
}

// describe says in words what requirements want.
func describe(reqs []Requirement) string {
	words := make([]string, len(reqs))
	for i, r := range reqs {
		words[i] = r.String()
	}
	return strings.Join(words, " and ")
}

// People returns those who may approve.
func (p *Policy) People() *People {
	if p.people == nil {
		return new(People)
	}
	return p.people
}

// Limits returns the limits of a rule, or nil if it has none or there is no such
// rule.
func (p *Policy) Limits(rule string) *Limits {
	for i := range p.rules {
		if l := p.rules[i].Limits; l != nil && p.rules[i].Name == rule {
			return l.clone()
		}
	}
	return nil
}

// MayFreeze reports whether the policy lets somebody freeze.
func (p *Policy) MayFreeze(id Identity) bool {
	return id.User != "" && (anyOf(p.freezes.Users, id.User) || anyOfAny(p.freezes.Groups, id.Groups))
}

// LiftRequirements are what lifting a freeze needs; none: root lifts.
func (p *Policy) LiftRequirements() []Requirement { return cloneRequirements(p.freezes.Lift) }

func cloneRequirements(reqs []Requirement) []Requirement {
	out := slices.Clone(reqs)
	for i := range out {
		out[i].From = slices.Clone(out[i].From)
	}
	return out
}
