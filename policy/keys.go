package policy

import "fmt"

// A request with several keys gives a result for each of them, and so it is judged
// once for each, as if that were its only key. It is for one rule to decide: what
// different rules want, and what they count, has no common answer. So:
//
//   - if it is denied for one key, it is denied;
//   - if different rules decide, it is denied, and says to sign separately;
//   - else it is as the rule says.

// decideAll returns the decision about all keys, and the request as it was judged
// for the key that it follows from, with what [Policy.decide] returned about that.
func (p *Policy) decideAll(q *Request) (Decision, *Request, *rule, error) {
	first, by, err := p.decide(q)
	if len(q.Also) == 0 {
		return first, q, by, err
	}
	if first.Effect == Deny {
		return first.of(q.Key), q, by, err
	}
	other := -1 // the first key that another rule decides about
	var otherRule string
	for i, name := range q.Also {
		one := *q
		one.Key, one.Also = name, nil
		d, r, err := p.decide(&one)
		if d.Effect == Deny {
			return d.of(name), &one, r, err
		}
		if r != by && other < 0 {
			other, otherRule = i, d.Rule
		}
	}
	if other < 0 {
		return first, q, by, err
	}
	return Decision{
		Effect: Deny, PolicyHash: p.hash,
		Reason: fmt.Sprintf("rule %q decides about key %q, and rule %q about key %q: have each signed in a request of its own",
			first.Rule, q.Key, otherRule, q.Also[other]),
	}, q, nil, nil
}

// of says for which of several keys a decision is.
func (d Decision) of(key string) Decision {
	d.Reason = fmt.Sprintf("for key %q: %s", key, d.Reason)
	return d
}
