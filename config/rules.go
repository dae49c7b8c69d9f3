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

// warnShadowed warns of rules that decide nothing, and returns those, by position,
// whose approvals can never be had.
func warnShadowed(r *report, p *policy.Policy, rules []policy.Rule) (stuck map[int]bool) {
	if len(rules) == 0 {
		r.warnf("rules", "found no rules: every request is denied")
	}
	stuck = make(map[int]bool)
	for _, s := range p.Shadowed() {
		field := fmt.Sprintf("rules[%d]", s.Rule)
		if s.Field != "" {
			field = join(field, s.Field)
		}
		r.warnf(field, "%s", s.Reason)
		stuck[s.Rule] = s.Field == "approvals"
	}
	return stuck
}

// ruleField is the path of a field of a rule.
func ruleField(i int, name string) string { return fmt.Sprintf("rules[%d].%s", i, name) }
