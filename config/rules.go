package config

import (
	"fmt"
	"unicode/utf8"

	"github.com/bundlesign/bundlesign/policy"
)

// Bounds of texts that stand in every answer and log entry, in characters.
const (
	maxRuleName    = 100
	maxRuleMessage = 500
)

// checkRules holds the texts of the rules against their bounds; package policy
// checks what they mean.
func checkRules(r *report, rules []Rule) {
	for i, rule := range rules {
		for _, text := range []struct {
			field, value string
			most         int
		}{{"name", rule.Name, maxRuleName}, {"message", rule.Message, maxRuleMessage}} {
			if n := utf8.RuneCountInString(text.value); n > text.most {
				r.errorf(fmt.Sprintf("rules[%d].%s", i, text.field), "found %d characters, want at most %d", n, text.most)
			}
		}
	}
}

// warnShadowed warns of rules that decide nothing.
func warnShadowed(r *report, rules []policy.Rule) {
	if len(rules) == 0 {
		r.warnf("rules", "found no rules: every request is denied")
	}
	for j := range rules {
		for i := range rules[:j] {
			if covers(&rules[i], &rules[j]) {
				r.warnf(fmt.Sprintf("rules[%d]", j), "rule %q is never reached: rule %q before it matches everything that it matches", rules[j].Name, rules[i].Name)
				break
			}
		}
	}
}

// covers reports whether rule a matches every request that rule b matches. It
// may miss a case, but never claims one that is not so.
func covers(a, b *policy.Rule) bool {
	if !globsCover(a.Apps, b.Apps) || !globsCover(a.Channels, b.Channels) {
		return false
	}
	if len(a.Users) == 0 && len(a.Groups) == 0 {
		return true
	}
	if len(b.Users) == 0 && len(b.Groups) == 0 {
		return false // b is for everybody, with a name or without
	}
	// Here an empty list of users or groups matches nobody, not everybody.
	return (len(b.Users) == 0 || len(a.Users) > 0 && globsCover(a.Users, b.Users)) &&
		(len(b.Groups) == 0 || len(a.Groups) > 0 && globsCover(a.Groups, b.Groups))
}

// globsCover reports whether what one of b matches, one of a matches; an empty
// list matches everything.
func globsCover(a, b []policy.Glob) bool {
	if len(a) == 0 {
		return true
	}
	if len(b) == 0 {
		b = []policy.Glob{"*"}
	}
	for _, inner := range b {
		covered := false
		for _, outer := range a {
			// A pattern matches all that another does if it matches that
			// pattern read as text: only a star can take up a star.
			if covered = outer.Match(string(inner)); covered {
				break
			}
		}
		if !covered {
			return false
		}
	}
	return true
}
