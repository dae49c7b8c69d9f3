package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
				`policy.yaml:5:11: rules[1].effect: found "maybe", want "allow" or "deny"`,
				`policy.yaml:6:3: rules[1].appz: unknown field; did you mean apps?`,
				`policy.yaml:9:12: rules[2].message: found a message on a rule that allows; a message is for those who are denied`,
				`policy.yaml:10:10: rules[2].apps[0]: found "a?", in which '?' would stand for itself; the only special character is *`,
				`policy.yaml:10:16: rules[2].apps[1]: found "", want text that is not empty`,
				`policy.yaml:11:13: rules[2].channels: found "x", want a list of patterns; one value is a list too: [value]`,
				`policy.yaml:12:9: rules[3].name: found "c", which rules[2] has already; names are unique`,
				`policy.yaml:14:11: rules[3].users[0]: found the number 12, want text: put it in quotes`,
				`policy.yaml:15:3: rules[4].effect: missing, want "allow" or "deny"`,
				`policy.yaml:15:9: rules[4].name: found text with a character that cannot be printed (U+0009 at byte 1), want plain text`,
				`policy.yaml:16:3: rules[4].uri: unknown field; the fields here are name, apps, channels, users, groups, effect, message`,
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
			p, rules := parsePolicy(r, []byte(c.text))
			if (p == nil) != (len(r.errs) > 0) || p == nil && rules != nil {
				t.Errorf("parsePolicy gives policy %v with %d rules and %d errors, want one or the other", p, len(rules), len(r.errs))
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
	p, rules := parsePolicy(newReport("policy.yaml"), []byte(`
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
`))
	if len(rules) != 2 {
		t.Fatalf("found %d rules, want 2", len(rules))
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

func TestCovers(t *testing.T) {
	g := func(s ...policy.Glob) []policy.Glob { return s }
	for name, c := range map[string]struct {
		a, b policy.Rule
		want bool
	}{
		"everything covers all":         {policy.Rule{}, policy.Rule{Apps: g("x")}, true},
		"nothing narrower covers all":   {policy.Rule{Apps: g("x*")}, policy.Rule{}, false},
		"a star covers a list left out": {policy.Rule{Apps: g("*")}, policy.Rule{}, true},
		"two that together would":       {policy.Rule{Apps: g("a*", "b*")}, policy.Rule{Apps: g("a1", "b2")}, true},
		"one outside":                   {policy.Rule{Apps: g("a*")}, policy.Rule{Apps: g("a1", "b2")}, false},
		"star in the middle":            {policy.Rule{Apps: g("a*c")}, policy.Rule{Apps: g("ab*c")}, true},
		"star is more than a letter":    {policy.Rule{Apps: g("abc")}, policy.Rule{Apps: g("a*c")}, false},
		"two stars":                     {policy.Rule{Apps: g("*x")}, policy.Rule{Apps: g("*x*")}, false},
		"all lists must":                {policy.Rule{Apps: g("*"), Channels: g("p")}, policy.Rule{Apps: g("x"), Channels: g("q")}, false},
		"named users are not everybody": {policy.Rule{Users: g("*")}, policy.Rule{}, false},
		"users within users":            {policy.Rule{Users: g("ci*")}, policy.Rule{Users: g("ci-1")}, true},
		"users and groups within users": {policy.Rule{Users: g("ci*")}, policy.Rule{Users: g("ci-1"), Groups: g("x")}, false},
		"groups are not users":          {policy.Rule{Groups: g("*")}, policy.Rule{Users: g("ci")}, false},
		"users within users and groups": {policy.Rule{Users: g("ci"), Groups: g("x")}, policy.Rule{Users: g("ci")}, true},
		"groups within everybody":       {policy.Rule{}, policy.Rule{Groups: g("x")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := covers(&c.a, &c.b); got != c.want {
				t.Errorf("covers(%+v, %+v) = %t, want %t", c.a, c.b, got, c.want)
			}
		})
	}
}

// TestCoversIsNeverWrong looks for a request that a rule matches which is said
// to be covered, and that the covering one does not match.
func TestCoversIsNeverWrong(t *testing.T) {
	globs := func(t *rapid.T, name string) []policy.Glob {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Glob {
			return policy.Glob(rapid.StringMatching(`[ab*]{1,4}`).Draw(t, "glob"))
		}), 0, 2).Draw(t, name)
	}
	rule := func(t *rapid.T, name string) policy.Rule {
		return policy.Rule{
			Name: name, Effect: policy.Allow,
			Apps: globs(t, name+" apps"), Channels: globs(t, name+" channels"),
			Users: globs(t, name+" users"), Groups: globs(t, name+" groups"),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rule(t, "a"), rule(t, "b")
		if !covers(&a, &b) {
			return
		}
		word := rapid.StringMatching(`[abc]{0,4}`)
		q := policy.Request{
			App: word.Draw(t, "app"), Channel: word.Draw(t, "channel"),
			Requester: policy.Identity{User: word.Draw(t, "user"), Groups: rapid.SliceOfN(word, 0, 2).Draw(t, "groups")},
		}
		if matches(t, b, q) && !matches(t, a, q) {
			t.Fatalf("a = %+v is said to cover b = %+v, but only b matches %+v", a, b, q)
		}
	})
}

func matches(t *rapid.T, r policy.Rule, q policy.Request) bool {
	p, err := policy.New([]policy.Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	return p.Decide(q).Effect == policy.Allow
}
