package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/policy"
)

// warnPeople warns of groups of people that decide nothing, and of approvals that
// cannot be had by somebody who may ask for them. The rules in said are warned of
// already.
func warnPeople(r *report, p *policy.Policy, doc *policy.Document, said map[int]bool) {
	warnUnusedGroups(r, doc)
	warnNoAccount(r, doc)
	for i := range doc.Rules {
		if doc.Rules[i].Effect == policy.Approve && !said[i] {
			warnOwnPerson(r, p, doc, i)
		}
	}
}

func warnUnusedGroups(r *report, doc *policy.Document) {
	used := make(map[string]bool)
	use := func(list []policy.Requirement) {
		for _, req := range list {
			for _, group := range req.From {
				used[group] = true
			}
		}
	}
	use(doc.Freezes.Lift)
	for _, rule := range doc.Rules {
		use(rule.Approvals)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Groups)) {
		if !used[name] {
			r.warnf("people.groups."+name, "nobody is asked for it: no approvals and no lift are from group %q", name)
		}
	}
}

// warnNoAccount warns of people who may approve what others ask for, and of whom
// it is not known what they log in with: they would not be told from the others.
func warnNoAccount(r *report, doc *policy.Document) {
	var nameless []string
	for i := range doc.Rules {
		named := namesRequesters(&doc.Rules[i])
		for _, req := range doc.Rules[i].Approvals {
			for _, group := range req.From {
				for _, person := range doc.Groups[group] {
					_, known := doc.Accounts[person]
					// A service user is nobody; one who is called like an approver hardly is.
					if !known && (!named || slices.ContainsFunc(doc.Rules[i].Users, func(g policy.Glob) bool { return strings.EqualFold(string(g), person) })) {
						nameless = append(nameless, fmt.Sprintf("%q", person))
					}
				}
			}
		}
	}
	if len(nameless) > 0 {
		slices.Sort(nameless)
		r.warnf("people.accounts", "found nothing that %s would log in with: when such a person asks, their own approval counts; name it, or write {} for who never asks",
			strings.Join(slices.Compact(nameless), ", "))
	}
}

// namesRequesters reports whether a rule is for certain users alone, named in full.
func namesRequesters(rule *policy.Rule) bool {
	return len(rule.Users) > 0 && len(rule.Groups) == 0 && len(rule.Units) == 0 && len(rule.Tokens) == 0 &&
		!slices.ContainsFunc(rule.Users, func(g policy.Glob) bool { return !inFull(g) })
}

// warnOwnPerson warns if a rule wants so many people that it can never be met
// when one of them asks, who then does not count.
func warnOwnPerson(r *report, p *policy.Policy, doc *policy.Document, i int) {
	rule := &doc.Rules[i]
	var stuck []string
	for _, person := range slices.Sorted(maps.Keys(doc.Accounts)) {
		if mayBe(rule, doc.Accounts[person]) && p.People().Feasible(rule.Approvals, []string{person}) != nil {
			stuck = append(stuck, fmt.Sprintf("%q", person))
		}
	}
	if len(stuck) > 0 {
		r.warnf(ruleField(i, "approvals"), "when it is %s who asks, there are not enough others who could agree: nobody approves what is their own", strings.Join(stuck, " or "))
	}
}

// mayBe reports whether somebody with these accounts could be a requester whom
// the rule matches. What a group or unit has in it is not known here.
func mayBe(rule *policy.Rule, a policy.Accounts) bool {
	anyUser := len(rule.Users) == 0 || len(rule.Groups) > 0 || len(rule.Units) > 0
	for _, user := range a.Users {
		if len(rule.Tokens) == 0 && (anyUser || matchesAny(rule.Users, user)) {
			return true
		}
	}
	for _, t := range a.Tokens {
		if len(rule.Tokens) == 0 || matchesAny(rule.Tokens, t.Issuer) {
			return true
		}
	}
	return false
}

func matchesAny(globs []policy.Glob, s string) bool {
	return slices.ContainsFunc(globs, func(g policy.Glob) bool { return g.Match(s) })
}
