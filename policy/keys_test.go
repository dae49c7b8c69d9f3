package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestDecideJudgesEachKey(t *testing.T) {
	of := func(name, keys string, effect Effect) Rule {
		r := Rule{Name: name, Users: []Glob{"*"}, When: "request.key in [" + keys + "]", Effect: effect}
		if effect == Approve {
			r.Expires, r.Approvals = 1e12, []Requirement{{From: []string{"release"}, Threshold: 1}}
		}
		return r
	}
	for _, c := range []struct {
		name         string
		rules        []Rule
		also         string // names, with spaces
		effect       Effect
		rule, reason string
	}{
		{"one rule", []Rule{of("both", `"old", "new"`, Allow)}, "new", Allow, "both", `rule "both" allows it`},
		{"one rule for four", []Rule{of("all", `"old", "a", "b", "c"`, Allow)}, "a b c", Allow, "all", ""},
		{"the last of four is another's", []Rule{of("all", `"old", "a", "b"`, Allow), of("c", `"c"`, Allow)}, "a b c", Deny, "", `rule "all" decides about key "old", and rule "c" about key "c": have each signed in a request of its own`},
		{"a denial after another rule is what is told", []Rule{of("all", `"old", "b"`, Allow), of("a", `"a"`, Allow), of("no", `"c"`, Deny)}, "a b c", Deny, "no", `for key "c": rule "no" denies it`},
		{"no rule for the second", []Rule{of("old", `"old"`, Allow)}, "new", Deny, "", `for key "new": no rule matches`},
		{"no rule for the first", []Rule{of("new", `"new"`, Allow)}, "new", Deny, "", `for key "old": no rule matches`},
		{"both denied", []Rule{of("no", `"old", "new"`, Deny)}, "new", Deny, "no", `for key "old": rule "no" denies it`},
		{"a condition that fails for the second", []Rule{{Name: "odd", Users: []Glob{"*"}, When: `request.key == "old" || labels["x"] == "y"`, Effect: Allow}}, "new", Deny, "odd", `for key "new": the condition of rule "odd" cannot be evaluated`},
		{"two rules of one effect", []Rule{of("a", `"old"`, Allow), of("b", `"new"`, Allow)}, "new", Deny, "", `rule "a" decides about key "old", and rule "b"`},
	} {
		p := mustNew(t, c.rules...)
		q := Request{App: "com.acme.shop", Channel: "c", Version: "1.0.0", Key: "old", Also: strings.Fields(c.also), Requester: Identity{UID: 1, User: "ci"}}
		d := p.Decide(q)
		if d.Effect != c.effect || d.Rule != c.rule || !strings.HasPrefix(d.Reason, c.reason) || d.PolicyHash != p.Hash() {
			t.Errorf("%s: found %+v, want %s by %q: %s", c.name, d, c.effect, c.rule, c.reason)
		}
		explained, verdicts := p.Explain(q)
		if explained.Reason != d.Reason || len(verdicts) != len(c.rules) {
			t.Errorf("%s: explained as %+v with %d verdicts", c.name, explained, len(verdicts))
		}
		for _, v := range verdicts {
			if v.Decided && v.Rule != d.Rule {
				t.Errorf("%s: rule %q is said to decide, and rule %q does", c.name, v.Rule, d.Rule)
			}
		}
	}
}

// The order in which keys are named changes nothing about whether they are allowed.
func TestDecideDoesNotDependOnWhichKeyIsFirst(t *testing.T) {
	p := mustNew(t,
		Rule{Name: "no", Users: []Glob{"*"}, When: `request.key == "c"`, Effect: Deny},
		Rule{Name: "ab", Users: []Glob{"*"}, When: `request.key in ["a", "b"]`, Effect: Allow},
		Rule{Name: "d", Users: []Glob{"*"}, When: `request.key == "d"`, Effect: Allow},
	)
	keys := []string{"a", "b", "c", "d", "e"}
	for _, x := range keys {
		for _, y := range keys {
			d := p.Decide(Request{App: "com.acme.shop", Key: x, Also: []string{y}, Requester: Identity{UID: 1, User: "ci"}})
			want := Deny
			if pair := fmt.Sprint(x, y); x == y && x == "d" || strings.Trim(pair, "ab") == "" {
				want = Allow
			}
			if d.Effect != want {
				t.Errorf("%s and %s: found %s (%s), want %s", x, y, d.Effect, d.Reason, want)
			}
		}
	}
}
