package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/policy"
)

// checkPolicyIssuers holds the names of token issuers in a policy against those
// that are configured: a rule for another would match nobody, and an account of
// another would be nobody's, so that its person could approve what is their own.
func checkPolicyIssuers(r *report, doc *policy.Document, issuers []TokenIssuer) {
	names := make([]string, len(issuers))
	for i, is := range issuers {
		names[i] = is.Name
	}
	there := "it has none"
	if len(names) > 0 {
		there = "it has " + strings.Join(names, ", ")
	}
	for i, rule := range doc.Rules {
		for j, pattern := range rule.Tokens {
			if !slices.ContainsFunc(names, pattern.Match) {
				r.errorf(ruleField(i, fmt.Sprintf("tokens[%d]", j)), "found %q, which is none of token_issuers of config.yaml; %s", pattern, there)
			}
		}
	}
	for person, accounts := range doc.Accounts {
		for j, token := range accounts.Tokens {
			if !slices.Contains(names, token.Issuer) {
				r.errorf(fmt.Sprintf("people.accounts.%s.tokens[%d].issuer", person, j), "found %q, which is none of token_issuers of config.yaml; %s", token.Issuer, there)
			}
		}
	}
}
