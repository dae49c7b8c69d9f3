package policy

import (
	"fmt"
	"strings"
)

// Verdict says of one rule why it did or did not match.
type Verdict struct {
	Rule    string `json:"rule"`
	Matched bool   `json:"matched"`
	// Reason names the first list that did not match, with what was found and
	// what it wants, or how the expression went.
	Reason string `json:"reason"`
	// Decided: it is the rule that decides. It does without matching if its
	// condition cannot be evaluated.
	Decided bool `json:"decided"`
}

// Explain returns the decision of [Policy.Decide] and how each rule judged, also
// those after the one that decides. If the request has several keys, it is explained
// for the one that it is denied for, or else for the first. A requester without a user name is denied
// before there are any verdicts.
func (p *Policy) Explain(q Request) (Decision, []Verdict) {
	d, one, decided, err := p.decideAll(&q)
	q = *one
	if q.Requester.User == "" {
		return d, nil
	}
	verdicts := make([]Verdict, len(p.rules))
	for i := range p.rules {
		r := &p.rules[i]
		verdicts[i] = p.judge(r, &q)
		if r != decided {
			continue
		}
		verdicts[i].Decided = true
		if err != nil { // which it may not have been with a budget of its own
			verdicts[i].Matched, verdicts[i].Reason = false, conditionFails(err)
		}
	}
	return d, verdicts
}

func conditionFails(err error) string {
	return fmt.Sprintf("its condition cannot be evaluated: %v", err)
}

// judge evaluates the rule's condition with a budget of its own.
func (p *Policy) judge(r *rule, q *Request) Verdict {
	v := Verdict{Rule: r.Name}
	if list := r.mismatch(q); list != noMismatch {
		v.Reason = r.why(list, q)
		return v
	}
	run := run{engine: p.engine, request: q}
	defer run.close()
	switch ok, err := run.test(r.when); {
	case err != nil:
		v.Reason = conditionFails(err)
	case !ok:
		v.Reason = "its condition is false"
	case r.when != nil:
		v.Matched, v.Reason = true, "its lists match, and its condition is true"
	default:
		v.Matched, v.Reason = true, "its lists match"
	}
	return v
}

// why says in words that a list does not match.
func (r *Rule) why(l list, q *Request) string {
	switch l {
	case listBreakGlass:
		if r.BreakGlass {
			return "it is for emergencies, and the request is none"
		}
		return "the request is an emergency, and it is not for those"
	case listApps:
		return noneOf("app", q.App, r.Apps)
	case listChannels:
		return noneOf("channel", q.Channel, r.Channels)
	case listVersions:
		return noneOf("version", q.Version, r.Versions)
	case listTokens:
		if q.Requester.Token == nil {
			return fmt.Sprintf("it wants a token of one of %v, and there is none", r.Tokens)
		}
		return noneOf("issuer", q.Requester.Token.Issuer, r.Tokens)
	}
	return r.whyNotRequester(&q.Requester)
}

func (r *Rule) whyNotRequester(id *Identity) string {
	var reasons []string
	if len(r.Users) > 0 {
		reasons = append(reasons, noneOf("user", id.User, r.Users))
	}
	if len(r.Groups) > 0 {
		reasons = append(reasons, fmt.Sprintf("none of the groups %q matches one of %v", id.Groups, r.Groups))
	}
	if len(r.Units) > 0 {
		unit := fmt.Sprintf("it runs in no unit, want one of %v", r.Units)
		if id.Unit != "" {
			unit = noneOf("unit", id.Unit, r.Units)
		}
		reasons = append(reasons, unit)
	}
	return strings.Join(reasons, "; ")
}

func noneOf(what, found string, want []Glob) string {
	return fmt.Sprintf("%s %q matches none of %v", what, found, want)
}
