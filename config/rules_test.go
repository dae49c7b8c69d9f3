package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/policy"
)

func TestPolicyFindings(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"good": {"rules:\n- name: a\n  apps: [com.acme.*]\n  users: [ci]\n  effect: allow\n- {name: b, effect: deny, message: \"ask\"}\n", nil},
		"no rules": {
			"rules: []\n",
			[]string{`policy.yaml:1:8: warning: rules: found no rules: every request is denied`},
		},
		"rules missing": {
			"rule: []\n",
			[]string{`policy.yaml:1:1: rule: unknown field; did you mean rules?`},
		},
		"faults of form and of meaning": {
			"rules:\n" +
				"- nam: a\n  effect: allow\n" +
				"- name: b\n  effect: maybe\n  appz: [x]\n" +
				"- name: c\n  effect: allow\n  message: hi\n  apps: [\"a?\", \"\"]\n  channels: x\n" +
				"- name: c\n  effect: deny\n  users: [12]\n" +
				"- name: \"a\\tb\"\n  uri: x\n",
			[]string{
				`policy.yaml:2:3: rules[0].nam: unknown field; did you mean name?`,
				`policy.yaml:5:11: rules[1].effect: found "maybe", want "allow", "deny" or "approve"`,
				`policy.yaml:6:3: rules[1].appz: unknown field; did you mean apps?`,
				`policy.yaml:9:12: rules[2].message: found a message on a rule that allows; a message is for those who are denied or have to wait`,
				`policy.yaml:10:10: rules[2].apps[0]: found "a?", in which '?' would stand for itself; the only special character is *`,
				`policy.yaml:10:16: rules[2].apps[1]: found "", want text that is not empty`,
				`policy.yaml:11:13: rules[2].channels: found "x", want a list of patterns; one value is a list too: [value]`,
				`policy.yaml:12:9: rules[3].name: found "c", which rules[2] has already; names are unique`,
				`policy.yaml:14:11: rules[3].users[0]: found the number 12, want text: put it in quotes`,
				`policy.yaml:15:3: rules[4].effect: missing, want "allow", "deny" or "approve"`,
				`policy.yaml:15:9: rules[4].name: found text with a character that cannot be printed (U+0009 at byte 1), want plain text`,
				`policy.yaml:16:3: rules[4].uri: unknown field; the fields here are name, apps, channels, versions, users, groups, units, tokens, when, break_glass, effect, message, approvals, expires, limits`,
			},
		},
		"long texts": {
			"rules:\n- name: " + strings.Repeat("n", 101) + "\n  effect: deny\n  message: " + strings.Repeat("m", 501) + "\n",
			[]string{
				`policy.yaml:2:9: rules[0].name: found 101 characters, want at most 100`,
				`policy.yaml:4:12: rules[0].message: found 501 characters, want at most 500`,
			},
		},
		"unquoted star": {
			"rules:\n- name: a\n  effect: allow\n  apps: [*]\n  channels:\n  - *x\n",
			[]string{
				`policy.yaml:4:10: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as "*.shop"`,
				`policy.yaml:6:5: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as "*.shop"`,
			},
		},
		"too many": {
			"rules:\n" + strings.Repeat("- {name: a, effect: deny}\n", 1001),
			nil, // checked below
		},
		"never reached": {
			"rules:\n- {name: narrow, apps: [com.acme.shop], effect: allow}\n- {name: wide, apps: [com.acme.*], effect: deny}\n" +
				"- {name: lost, apps: [com.acme.shop, com.acme.pay], users: [ci], effect: allow}\n- {name: rest, effect: deny}\n- {name: after, channels: [x], effect: allow}\n",
			[]string{
				`policy.yaml:4:4: warning: rules[2]: rule "lost" is never reached: rule "wide" before it matches everything that it matches`,
				`policy.yaml:6:4: warning: rules[4]: rule "after" is never reached: rule "rest" before it matches everything that it matches`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReport("policy.yaml")
			p, doc := parsePolicy(r, []byte(c.text), signersOf(t))
			if (p == nil) != (len(r.errs) > 0) || (p == nil) != (doc == nil) {
				t.Errorf("parsePolicy gives policy %v of %v and %d errors, want one or the other", p, doc, len(r.errs))
			}
			found := findings(r)
			if name == "too many" {
				if len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), "rules: found 1001 entries, want 0 to 1000") {
					t.Errorf("found %.200q, want the number of rules refused", found)
				}
				return
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
		})
	}
}

// TestPolicyDecides holds that the fields of the file arrive where they belong.
func TestPolicyDecides(t *testing.T) {
	p, doc := parsePolicy(newReport("policy.yaml"), []byte(`
rules:
  - name: ci
    apps: ["com.acme.*"]
    channels: [staging]
    users: [ci]
    groups: [release]
    effect: allow
  - name: nobody
    channels: [production]
    effect: deny
    message: not yet
`), signersOf(t))
	if p == nil || len(doc.Rules) != 2 {
		t.Fatalf("found %+v, want 2 rules", doc)
	}
	for _, c := range []struct {
		request policy.Request
		rule    string
		reason  string
	}{
		{policy.Request{App: "com.acme.x", Channel: "staging", Requester: policy.Identity{User: "ci"}}, "ci", "allows"},
		{policy.Request{App: "com.acme.x", Channel: "staging", Requester: policy.Identity{User: "eve", Groups: []string{"release"}}}, "ci", "allows"},
		{policy.Request{App: "com.acme.x", Channel: "staging", Requester: policy.Identity{User: "eve"}}, "", "no rule"},
		{policy.Request{App: "com.acme.x", Channel: "production", Requester: policy.Identity{User: "ci"}}, "nobody", "not yet"},
	} {
		d := p.Decide(c.request)
		if d.Rule != c.rule || !strings.Contains(d.Reason, c.reason) {
			t.Errorf("Decide(%+v) = rule %q, %q, want rule %q and %q", c.request, d.Rule, d.Reason, c.rule, c.reason)
		}
	}
}
