package signer

import (
	"fmt"
	"time"

	modsemver "golang.org/x/mod/semver"

	"github.com/bundlesign/bundlesign/policy"
)

// verdict is what the policy, the freezes and the limits say of a request now.
type verdict struct {
	policy.Decision
	// ForNow says which freeze or rate denies it, of what may be allowed later.
	ForNow string
}

// judge decides about a request as the state is in the transaction: by the rules,
// then by the freezes, then by the limits of the rule that decided. An emergency
// passes freezes and limits.
func judge(tx Tx, p *policy.Policy, r *Request, now time.Time) (verdict, error) {
	head, err := tx.Head(r.Submission.AppID, r.Submission.Channel)
	if err != nil {
		return verdict{}, err
	}
	q := r.question(now, head.Last)
	v := verdict{Decision: p.Decide(q)}
	if v.Effect == policy.Deny || v.BreakGlass {
		return v, nil
	}
	freezes, err := tx.Freezes()
	if err != nil {
		return verdict{}, err
	}
	for i := range freezes {
		if f := &freezes[i]; f.Stops(r) {
			why := fmt.Sprintf("signing is frozen (%s): %s", f.ID, f.Reason)
			return v.deny(why, "%s", why), nil
		}
	}
	return limited(tx, p, v, q, r, head)
}

// limited holds a request against the limits of the rule that decided.
func limited(tx Tx, p *policy.Policy, v verdict, q policy.Request, r *Request, head Head) (verdict, error) {
	limits := p.Limits(v.Rule)
	if limits == nil {
		return v, nil
	}
	highest := head.Highest
	if limits.IncreasingVersions {
		// What is being signed just now counts too: it will be signed first.
		signing, err := tx.Authorized(q.App, q.Channel)
		if err != nil {
			return verdict{}, err
		}
		for _, other := range signing {
			if other.ID != r.ID && (highest.Version == "" || newer(other.Submission.Version, highest.Version)) {
				highest = other.release(other.UpdatedAt)
			}
		}
		versions := &policy.Limits{IncreasingVersions: true}
		if reason, err := versions.Check(q, policy.Usage{Highest: highest}); reason != "" || err != nil {
			return v.deny("", "%s", reason), err
		}
	}
	reason, err := limits.Check(q, policy.Usage{
		Highest: highest,
		Count: func(per policy.Scope, since time.Time) (int, error) {
			value := map[policy.Scope]string{
				policy.PerRule: v.Rule, policy.PerApp: q.App, policy.PerRequester: p.Account(v.Rule, r.Requester),
			}[per]
			return tx.Uses(per, value, since)
		},
	})
	if reason != "" || err != nil {
		return v.deny("as much was signed as may be in a span of time", "%s", reason), err
	}
	return v, nil
}

// deny turns a decision of a rule into a denial.
func (v verdict) deny(forNow, format string, args ...any) verdict {
	reason := fmt.Sprintf("rule %q matches, but ", v.Rule) + fmt.Sprintf(format, args...)
	return verdict{
		Decision: policy.Decision{Effect: policy.Deny, Rule: v.Rule, Reason: reason, PolicyHash: v.PolicyHash},
		ForNow:   forNow,
	}
}

// question is what the policy is asked about a request.
func (r *Request) question(now time.Time, last policy.Release) policy.Request {
	s := &r.Submission
	var also []string
	for _, k := range r.Also {
		also = append(also, k.Key)
	}
	return policy.Request{
		App: s.AppID, Channel: s.Channel, Version: s.Version, Digest: s.Digest.String(), Files: r.FileCount, Key: r.Key, Also: also,
		Labels: s.Labels, Requester: r.Requester, BreakGlass: s.BreakGlass, Time: now, Last: last,
	}
}

// release is what a request adds to an app's history.
func (r *Request) release(at time.Time) policy.Release {
	return policy.Release{Request: r.ID, Version: r.Submission.Version, Digest: r.Submission.Digest.String(), Time: at}
}

// newer reports whether version a is above b, by the precedence of semver 2.0.0.
func newer(a, b string) bool { return modsemver.Compare("v"+a, "v"+b) > 0 }

// signed takes note in the app's history that a request was signed.
func signed(tx Tx, r *Request, at time.Time) error {
	head, err := tx.Head(r.Submission.AppID, r.Submission.Channel)
	if err != nil {
		return err
	}
	head.Last = r.release(at)
	if head.Highest.Version == "" || !newer(head.Highest.Version, head.Last.Version) {
		head.Highest = head.Last
	}
	return tx.SetHead(r.Submission.AppID, r.Submission.Channel, head)
}

// count takes note for the limits that a request is authorized.
func count(tx Tx, p *policy.Policy, r *Request, now time.Time) error {
	account := p.Account(r.Decision.Rule, r.Requester)
	return tx.Use(Use{Request: r.ID, At: now, Rule: r.Decision.Rule, App: r.Submission.AppID, Account: account})
}
