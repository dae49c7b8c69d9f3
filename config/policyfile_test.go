package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/policy"
)

// parsedPolicy is what is found in a policy.yaml, and what it says if it is good.
func parsedPolicy(t *testing.T, text string) (*policy.Policy, *policy.Document, []string) {
	t.Helper()
	r := newReport("policy.yaml")
	p, doc := parsePolicy(r, []byte(text), signersOf(t))
	return p, doc, findings(r)
}

func TestPolicyWithPeople(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"good": {approving, nil},
		"unknown group": {
			strings.Replace(approving, "from: [release]", "from: [releas]", 1),
			[]string{`policy.yaml:5:25: rules[0].approvals[0].from[0]: found "releas", which is not a group of people; there are "release"`},
		},
		"unknown person": {
			strings.Replace(approving, "[alice, bob]", "[alice, bobby]", 1),
			[]string{`policy.yaml:8:29: people.groups.release[1]: found "bobby", who has no key in allowed_signers`},
		},
		"unknown person with an account": {
			strings.Replace(approving, "{alice: {users", "{alicia: {users", 1),
			[]string{`policy.yaml:9:14: people.accounts.alicia: found "alicia", who has no key in allowed_signers`},
		},
		"one account of two people": {
			strings.Replace(approving, "bob: {}", "bob: {users: [alice]}", 1),
			[]string{`policy.yaml:9:53: people.accounts.bob.users[0]: found the user "alice", who is alice already`},
		},
		"people without keys": {
			strings.Replace(approving, "  allowed_signers: allowed_signers\n", "", 1),
			[]string{`policy.yaml:7:3: people.allowed_signers: missing, want a path`},
		},
		"a name twice": {
			strings.Replace(approving, "groups: {release: [alice, bob]}", "groups: {release: [alice, bob], release: [alice]}", 1),
			[]string{`policy.yaml:8:35: people.groups.release: found a second time, the first is in line 8; want it once`},
		},
		"a list of groups": {
			strings.Replace(approving, "groups: {release: [alice, bob]}", "groups: [release]", 1),
			[]string{
				`policy.yaml:5:25: rules[0].approvals[0].from[0]: found "release", which is not a group of people; there are none`,
				`policy.yaml:8:11: people.groups: found a list, want names, each with a list of texts`,
			},
		},
		"a number as a name": {
			strings.Replace(approving, "{alice: {users", "{12: {users", 1),
			[]string{`policy.yaml:9:14: people.accounts: found the number 12 as a name, want text: put it in quotes`},
		},
		"unknown field of an account": {
			strings.Replace(approving, "{users: [alice]}", "{user: [alice]}", 1),
			[]string{`policy.yaml:9:22: people.accounts.alice.user: unknown field; did you mean users?`},
		},
		"a field in the wrong place": {
			strings.Replace(approving, "    effect: approve\n", "    effect: approve\n    threshold: 2\n", 1),
			[]string{`policy.yaml:5:5: rules[0].threshold: unknown field; did you mean rules[].approvals[].threshold?`},
		},
		"a threshold of nobody": {
			strings.Replace(approving, "threshold: 1", "threshold: 0", 1),
			[]string{`policy.yaml:5:46: rules[0].approvals[0].threshold: found the number 0, want an integer from 1 to 50`},
		},
		"a list without anything in it, which would match everything": {
			strings.Replace(approving, "    effect: approve\n", "    effect: approve\n    users: []\n", 1),
			[]string{`policy.yaml:5:12: rules[0].users: found 0 entries, want 1 to 1000`},
		},
		"what nobody can meet": {
			strings.Replace(approving, "threshold: 1", "threshold: 3", 1),
			nil, // checked below
		},
		"a duration without a unit": {
			strings.Replace(approving, "    effect: approve\n", "    effect: approve\n    expires: 24\n", 1),
			[]string{`policy.yaml:5:14: rules[0].expires: found 24, want a duration with its unit, such as 24s`},
		},
		"limits that are none": {
			strings.Replace(approving, "    effect: approve\n", "    effect: approve\n    limits: {versions: rising, signatures: [{most: 0, within: 1h, per: user}]}\n", 1),
			[]string{
				`policy.yaml:5:24: rules[0].limits.versions: found "rising", want "increasing"`,
				`policy.yaml:5:52: rules[0].limits.signatures[0].most: found the number 0, want an integer from 1 to 1000000`,
				`policy.yaml:5:72: rules[0].limits.signatures[0].per: found "user", want "rule", "app" or "requester"`,
			},
		},
		"approvals that decide nothing": {
			strings.Replace(approving, "effect: approve", "effect: allow", 1),
			nil, // checked below
		},
		"a group that decides nothing": {
			strings.Replace(approving, "bob]}", "bob], security: [dave]}", 1),
			[]string{`policy.yaml:8:35: warning: people.groups.security: nobody is asked for it: no approvals and no lift are from group "security"`},
		},
		"a group that lifts": {
			strings.Replace(approving, "bob]}", "bob], security: [dave]}", 1) + "freezes: {lift: [{from: [security], threshold: 1}]}\n",
			nil,
		},
		"two people who need each other and one more": {
			strings.Replace(approving, "threshold: 1", "threshold: 2", 1),
			[]string{`policy.yaml:5:16: warning: rules[0].approvals: when it is "alice" who asks, there are not enough others who could agree: nobody approves what is their own`},
		},
		"the same, but she cannot ask": {
			strings.Replace(strings.Replace(approving, "threshold: 1", "threshold: 2", 1), "effect: approve", "users: [ci]\n    effect: approve", 1),
			nil,
		},
		"a person of whom no account is known": {
			strings.Replace(approving, ", bob: {}", "", 1),
			[]string{`policy.yaml:9:13: warning: people.accounts: found nothing that "bob" would log in with: when such a person asks, their own approval counts; name it, or write {} for who never asks`},
		},
		"the same, but she cannot ask at all": {
			strings.Replace(strings.Replace(approving, ", bob: {}", "", 1), "effect: approve", "users: [ci]\n    effect: approve", 1),
			nil,
		},
		"a person without an account who is called like a requester": {
			strings.Replace(strings.Replace(approving, ", bob: {}", "", 1), "effect: approve", "users: [Bob]\n    effect: approve", 1),
			[]string{`policy.yaml:10:13: warning: people.accounts: found nothing that "bob" would log in with: when such a person asks, their own approval counts; name it, or write {} for who never asks`},
		},
		"the same, by a token": {
			strings.Replace(strings.Replace(approving, "threshold: 1", "threshold: 2}]\n    tokens: [\"git*\"]\n    expires: 1h #", 1), "users: [alice]", "tokens: [{issuer: github, claim: actor, value: a}]", 1),
			nil, // checked below
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, found := parsedPolicy(t, c.text)
			some := map[string]string{
				"what nobody can meet":          "policy.yaml:5:16: rules[0].approvals: found",
				"approvals that decide nothing": `rules[0].approvals: found approvals on a rule with effect "allow"`,
				"the same, by a token":          `when it is "alice" who asks`,
			}[name]
			if some != "" {
				if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, some) }) {
					t.Errorf("found %q, want %q in it", found, some)
				}
				return
			}
			// What package policy says may go on.
			if len(found) != len(c.want) || !slices.EqualFunc(c.want, found, func(want, found string) bool { return strings.HasPrefix(found, want) }) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// Each field of the file arrives in the document under the name that package
// policy has for it.
func TestPolicyDocument(t *testing.T) {
	_, got, found := parsedPolicy(t, `
rules:
  - name: a
    apps: [com.acme.shop]
    channels: [production]
    versions: ["1.*"]
    users: [ci]
    groups: [builders]
    units: [runner.service]
    tokens: [github]
    when: labels["x"] == "y"
    effect: approve
    message: wait
    approvals: [{from: [release, security], threshold: 2}]
    expires: 2h
    limits:
      versions: increasing
      signatures: [{most: 3, within: 10m, per: requester}]
  - {name: b, break_glass: true, effect: approve, approvals: [{from: [security], threshold: 1}]}
people:
  allowed_signers: keys
  groups: {release: [alice, bob], security: [carol]}
  accounts:
    alice: {users: [alice], tokens: [{issuer: github, claim: actor, value: al}]}
    bob: {}
    carol: {}
freezes:
  users: [ops]
  groups: [oncall]
  lift: [{from: [security], threshold: 1}]
`)
	if len(found) > 0 {
		t.Fatalf("found %q, want nothing wrong", found)
	}
	want := &policy.Document{
		Rules: []policy.Rule{
			{
				Name: "a", Apps: []policy.Glob{"com.acme.shop"}, Channels: []policy.Glob{"production"}, Versions: []policy.Glob{"1.*"},
				Users: []policy.Glob{"ci"}, Groups: []policy.Glob{"builders"}, Units: []policy.Glob{"runner.service"}, Tokens: []policy.Glob{"github"},
				When: `labels["x"] == "y"`, Effect: policy.Approve, Message: "wait",
				Approvals: []policy.Requirement{{From: []string{"release", "security"}, Threshold: 2}}, Expires: 2 * 3600e9,
				Limits: &policy.Limits{IncreasingVersions: true, Rates: []policy.Rate{{Most: 3, Within: 600e9, Per: policy.PerRequester}}},
			},
			{Name: "b", BreakGlass: true, Effect: policy.Approve, Approvals: []policy.Requirement{{From: []string{"security"}, Threshold: 1}}},
		},
		AllowedSigners: signersOf(t)(""),
		Groups:         map[string][]string{"release": {"alice", "bob"}, "security": {"carol"}},
		Accounts: map[string]policy.Accounts{
			"alice": {Users: []string{"alice"}, Tokens: []policy.TokenAccount{{Issuer: "github", Claim: "actor", Value: "al"}}},
			"bob":   {}, "carol": {},
		},
		Freezes: policy.Freezes{
			Users: []policy.Glob{"ops"}, Groups: []policy.Glob{"oncall"}, Lift: []policy.Requirement{{From: []string{"security"}, Threshold: 1}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
