package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustNew(t *testing.T, rules ...Rule) *Policy {
	t.Helper()
	p, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	p := mustNew(t,
		Rule{Name: "no-friday", Apps: []Glob{"com.acme.shop"}, Channels: []Glob{"production"}, Users: []Glob{"intern"}, Effect: Deny, Message: "ask the release team"},
		Rule{Name: "ci-staging", Apps: []Glob{"com.acme.*"}, Channels: []Glob{"staging", "pr-*"}, Users: []Glob{"ci"}, Effect: Allow},
		Rule{Name: "release", Apps: []Glob{"com.acme.shop"}, Groups: []Glob{"release"}, Effect: Allow},
		Rule{Name: "closed", Apps: []Glob{"com.closed.*"}, Effect: Deny},
		Rule{Name: "named", Apps: []Glob{"com.named.app"}, Users: []Glob{"*"}, Effect: Allow},
	)
	ci := Identity{UID: 1001, User: "ci"}
	alice := Identity{UID: 1000, User: "alice", Groups: []string{"users", "release"}}
	intern := Identity{UID: 1002, User: "intern", Groups: []string{"release"}}
	for _, c := range []struct {
		name, app, channel string
		who                Identity
		effect             Effect
		rule, reason       string
	}{
		{"user and channel", "com.acme.shop", "staging", ci, Allow, "ci-staging", `rule "ci-staging" allows it`},
		{"glob on channel", "com.acme.shop", "pr-12", ci, Allow, "ci-staging", `rule "ci-staging" allows it`},
		{"other channel", "com.acme.shop", "production", ci, Deny, "", `no rule matches app "com.acme.shop", channel "production" and requester ci (uid 1001)`},
		{"supplementary group", "com.acme.shop", "production", alice, Allow, "release", `rule "release" allows it`},
		{"first match decides", "com.acme.shop", "production", intern, Deny, "no-friday", `rule "no-friday" denies it: ask the release team`},
		{"deny without a message", "com.closed.app", "production", alice, Deny, "closed", `rule "closed" denies it`},
		{"prefix is not a match", "com.acme.shop.evil", "production", alice, Deny, "", ""},
		{"case matters", "com.ACME.shop", "staging", ci, Deny, "", ""},
		{"a uid without a name is not any user", "com.named.app", "x", Identity{UID: 7}, Deny, "", "uid 7 has no user name on this machine, and rules speak of names; give it one"},
		{"having no name escapes no denial", "com.acme.shop", "production", Identity{UID: 7, Groups: []string{"release"}}, Deny, "", ""},
		{"user name is not a group", "com.acme.shop", "production", Identity{UID: 9, User: "release"}, Deny, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := p.Decide(Request{App: c.app, Channel: c.channel, Version: "1.0.0", Requester: c.who})
			if got.Effect != c.effect || got.Rule != c.rule {
				t.Errorf("got %+v, want %s by %q", got, c.effect, c.rule)
			}
			if c.reason != "" && got.Reason != c.reason {
				t.Errorf("reason %q, want %q", got.Reason, c.reason)
			}
			if got.PolicyHash != p.Hash() {
				t.Errorf("policy hash %q, want %q", got.PolicyHash, p.Hash())
			}
		})
	}
}

func TestNothingAllowedWithoutRules(t *testing.T) {
	for name, p := range map[string]*Policy{"zero": {}, "empty": mustNew(t)} {
		if d := p.Decide(Request{App: "com.acme.shop", Requester: Identity{User: "root"}}); d.Effect != Deny {
			t.Errorf("%s policy: got %+v, want a denial", name, d)
		}
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	_, err := New([]Rule{
		{Name: "a", Effect: "permit"},
		{Name: "", Effect: Allow},
		{Name: "a", Effect: Allow, Message: "hello", Apps: []Glob{""}, Users: []Glob{"al?ce"}, Groups: []Glob{"a\x00"}, Channels: []Glob{Glob(strings.Repeat("x", 257))}},
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined errors", err)
	}
	var got []string
	for _, e := range joined.Unwrap() {
		var fault *FieldError
		if !errors.As(e, &fault) {
			t.Fatalf("got %T, want *FieldError", e)
		}
		got = append(got, fault.Field)
	}
	want := []string{
		"rules[0].effect", "rules[1].name", "rules[2].name", "rules[2].message",
		"rules[2].apps[0]", "rules[2].channels[0]", "rules[2].users[0]", "rules[2].groups[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHashIsOfTheRulesAlone(t *testing.T) {
	rule := Rule{Name: "a", Effect: Allow, Apps: []Glob{"com.a.b"}}
	a, b := mustNew(t, rule), mustNew(t, rule)
	if a.Hash() != b.Hash() {
		t.Error("the same rules have two hashes")
	}
	rule.Effect = Deny
	if c := mustNew(t, rule); c.Hash() == a.Hash() {
		t.Error("different rules have the same hash")
	}
}

func TestRulesAreCopied(t *testing.T) {
	rules := []Rule{{Name: "a", Effect: Deny}}
	p := mustNew(t, rules...)
	rules[0].Effect = Allow
	if d := p.Decide(Request{}); d.Effect != Deny {
		t.Error("changing the caller's slice changed the policy")
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob Glob
		s    string
		want bool
	}{
		{"*", "", true},
		{"*", "anything", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"a", "", false},
		{"com.*.shop", "com.acme.shop", true},
		{"com.*.shop", "com.acme.shopx", false},
		{"com.*.shop", "com..shop", true},
		{"*a*b*c", "xxaxxbxxbxxc", true},
		{"*a*b*c", "xxaxxcxxb", false},
		{"a**b", "ab", true},
		{"com.acme.sh*p", "com.acme.shоp", true}, // a Cyrillic o inside the star
		{"com.acme.shop", "com.acme.shоp", false},
		{"a*", "b", false},
	} {
		if got := c.glob.Match(c.s); got != c.want {
			t.Errorf("Glob(%q).Match(%q) = %v, want %v", c.glob, c.s, got, c.want)
		}
	}
}

// A pattern made to backtrack must not: work is bounded by len(glob)*len(s).
func TestGlobIsNotExponential(t *testing.T) {
	g := Glob(strings.Repeat("*a", 100) + "b")
	if g.Match(strings.Repeat("a", 100000)) {
		t.Error("matched, want no match")
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("com.*.shop", "com.acme.shop")
	f.Add("*a*", "banana")
	f.Fuzz(func(t *testing.T, g, s string) {
		got := Glob(g).Match(s)
		if want := slowMatch(g, s); len(g) < 12 && len(s) < 24 && got != want {
			t.Errorf("Glob(%q).Match(%q) = %v, want %v", g, s, got, want)
		}
	})
}

// slowMatch is the definition of a glob, written down.
func slowMatch(g, s string) bool {
	if g == "" {
		return s == ""
	}
	if g[0] == '*' {
		return slowMatch(g[1:], s) || s != "" && slowMatch(g, s[1:])
	}
	return s != "" && g[0] == s[0] && slowMatch(g[1:], s[1:])
}
