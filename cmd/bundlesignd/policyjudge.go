package main

import (
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/policy"
)

// verdict is what a daemon with a policy would say of a request.
type verdict struct {
	policy.Decision
	// Missing is what a request that needs approvals still lacks.
	Missing []policy.Missing
	// Rules says of each rule why it did or did not match.
	Rules []policy.Verdict
}

// judge asks a policy about a request that people have approved already, when
// some requests were signed within the span of each limit. It uses no keys: that
// these people did approve is taken as true.
func judge(p *policy.Policy, q policy.Request, approvedBy []string, recent int) (verdict, error) {
	d, rules := p.Explain(q)
	v := verdict{Decision: d, Rules: rules}
	if d.Effect != policy.Deny && !d.BreakGlass {
		reason, err := p.Limits(d.Rule).Check(q, policy.Usage{
			Highest: q.Last,
			Count:   func(policy.Scope, time.Time) (int, error) { return recent, nil },
		})
		if err != nil {
			return verdict{}, fmt.Errorf("checking the limits of rule %q: %w", d.Rule, err)
		}
		if reason != "" {
			v.Effect, v.Reason = policy.Deny, fmt.Sprintf("rule %q matches, but %s", d.Rule, reason)
		}
	}
	if v.Effect == policy.Approve {
		var approvals []policy.Approval
		for _, person := range approvedBy {
			approvals = append(approvals, policy.Approval{Person: person, UserVerified: true, Time: q.Time})
		}
		v.Missing = p.People().Missing(d.Requirements, approvals, p.People().Of(q.Requester))
	}
	return v, nil
}
