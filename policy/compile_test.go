package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// team is a document with people: alice, bob and carol, who release, and carol and
// dave, who look after security.
func team(rules ...Rule) Document {
	return Document{
		Rules: rules,
		AllowedSigners: []byte(`alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB
bob ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC
carol ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD
dave ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE
`),
		Groups:   map[string][]string{"release": {"alice", "bob", "carol"}, "security": {"carol", "dave"}},
		Accounts: map[string]Accounts{"alice": {Users: []string{"alice"}}, "bob": {Users: []string{"bob"}}},
	}
}

func mustCompile(t testing.TB, d Document) *Policy {
	t.Helper()
	p, err := Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// approve is a rule that wants two people of release.
func approve(change func(*Rule)) Rule {
	r := Rule{Name: "approve", Effect: Approve, Approvals: []Requirement{{From: []string{"release"}, Threshold: 2}}}
	if change != nil {
		change(&r)
	}
	return r
}

func TestCompileRefuses(t *testing.T) {
	allow := func(change func(*Rule)) Document {
		r := Rule{Name: "allow", Effect: Allow}
		change(&r)
		return team(r)
	}
	waits := func(change func(*Rule)) Document { return team(approve(change)) }
	limits := func(l Limits) Document { return allow(func(r *Rule) { r.Limits = &l }) }
	for name, c := range map[string]struct {
		document Document
		field    string
		want     string
	}{
		"version pattern":        {allow(func(r *Rule) { r.Versions = []Glob{"1.*", "2.?"} }), "rules[0].versions[1]", "only special character"},
		"unit pattern":           {allow(func(r *Rule) { r.Units = []Glob{""} }), "rules[0].units[0]", "empty pattern"},
		"token pattern":          {allow(func(r *Rule) { r.Tokens = []Glob{"git\u202ehub"} }), "rules[0].tokens[0]", "cannot be printed"},
		"name with an escape":    {allow(func(r *Rule) { r.Name = "a\x1b[2J" }), "rules[0].name", "U+001B cannot be printed"},
		"name of two lines":      {allow(func(r *Rule) { r.Name = "a\nb" }), "rules[0].name", "U+000A cannot be printed"},
		"name that is no text":   {allow(func(r *Rule) { r.Name = "a\xff" }), "rules[0].name", "not valid UTF-8"},
		"message with an escape": {team(Rule{Name: "d", Effect: Deny, Message: "no\x1b]0;"}), "rules[0].message", "cannot be printed"},
		"message of an allow":    {allow(func(r *Rule) { r.Message = "yes" }), "rules[0].message", "those who are denied or have to wait"},
		"approvals of an allow":  {allow(func(r *Rule) { r.Approvals = []Requirement{{[]string{"release"}, 1, false}} }), "rules[0].approvals", `they want effect "approve"`},
		"approvals of a deny":    {team(approve(func(r *Rule) { r.Effect = Deny })), "rules[0].approvals", `they want effect "approve"`},
		"expiry of an allow":     {allow(func(r *Rule) { r.Expires = time.Hour }), "rules[0].expires", `it wants effect "approve"`},
		"emergency alone":        {allow(func(r *Rule) { r.BreakGlass = true }), "rules[0].break_glass", "people must agree"},
		"no approvals":           {waits(func(r *Rule) { r.Approvals = nil }), "rules[0].approvals", "want at least one"},
		"no group":               {waits(func(r *Rule) { r.Approvals[0].From = nil }), "rules[0].approvals[0].from", "found no group"},
		"unknown group":          {waits(func(r *Rule) { r.Approvals[0].From = []string{"release", "relase"} }), "rules[0].approvals[0].from[1]", `"relase", which is not a group of people; there are "release", "security"`},
		"group twice":            {waits(func(r *Rule) { r.Approvals[0].From = []string{"release", "release"} }), "rules[0].approvals[0].from[1]", "twice"},
		"threshold of zero":      {waits(func(r *Rule) { r.Approvals[0].Threshold = 0 }), "rules[0].approvals[0].threshold", "found 0, want from 1 to 50"},
		"threshold below zero":   {waits(func(r *Rule) { r.Approvals[0].Threshold = -1 }), "rules[0].approvals[0].threshold", "found -1"},
		"threshold too high":     {waits(func(r *Rule) { r.Approvals[0].Threshold = 101 }), "rules[0].approvals[0].threshold", "found 101"},
		"more than there are":    {waits(func(r *Rule) { r.Approvals[0].Threshold = 4 }), "rules[0].approvals", "can never be met"},
		"one person for two": {waits(func(r *Rule) {
			r.Approvals = []Requirement{{[]string{"release"}, 3, false}, {[]string{"security"}, 2, false}}
		}), "rules[0].approvals", "can never be met"},
		"nobody can verify":      {waits(func(r *Rule) { r.Approvals[0].UserVerification = true }), "rules[0].approvals", "can never be met"},
		"too many requirements":  {waits(func(r *Rule) { r.Approvals = slices.Repeat([]Requirement{{[]string{"release"}, 1, false}}, 17) }), "rules[0].approvals", "found 17, want at most 16"},
		"expires at once":        {waits(func(r *Rule) { r.Expires = time.Second }), "rules[0].expires", "found 1s, want from 1m0s to 720h0m0s"},
		"expires before":         {waits(func(r *Rule) { r.Expires = -time.Hour }), "rules[0].expires", "found -1h0m0s"},
		"never expires":          {waits(func(r *Rule) { r.Expires = 31 * 24 * time.Hour }), "rules[0].expires", "found 744h0m0s"},
		"limits of nothing":      {limits(Limits{}), "rules[0].limits", "found no limit in it"},
		"limits of a deny":       {team(Rule{Name: "d", Effect: Deny, Limits: &Limits{IncreasingVersions: true}}), "rules[0].limits", "nothing is signed by it"},
		"limits of an emergency": {waits(func(r *Rule) { r.BreakGlass, r.Limits = true, &Limits{IncreasingVersions: true} }), "rules[0].limits", "which pass all limits"},
		"none in a day":          {limits(Limits{Rates: []Rate{{1, time.Hour, PerApp}, {0, time.Hour, PerApp}}}), "rules[0].limits.signatures[1].most", "found 0, want at least 1"},
		"within nothing":         {limits(Limits{Rates: []Rate{{1, 0, PerApp}}}), "rules[0].limits.signatures[0].within", "found 0s, want from 1s"},
		"within two years":       {limits(Limits{Rates: []Rate{{1, 2 * 366 * 24 * time.Hour, PerApp}}}), "rules[0].limits.signatures[0].within", "(366 days)"},
		"per something":          {limits(Limits{Rates: []Rate{{1, time.Hour, "channel"}}}), "rules[0].limits.signatures[0].per", `found "channel", want "rule", "app" or "requester"`},
		"freezing by a pattern":  {Document{Freezes: Freezes{Users: []Glob{"a?"}}}, "freezes.users[0]", "only special character"},
		"freezing by no group":   {Document{Freezes: Freezes{Groups: []Glob{""}}}, "freezes.groups[0]", "empty pattern"},
		"lifted by nobody":       {Document{Freezes: Freezes{Lift: []Requirement{{[]string{"release"}, 1, false}}}}, "freezes.lift[0].from[0]", "there are none"},
		"lifted by too many": {func() Document {
			d := team()
			d.Freezes.Lift = []Requirement{{[]string{"security"}, 3, false}}
			return d
		}(), "freezes.lift", "can never be met"},
		"people that are nobody": {func() Document { d := team(); d.Groups["release"] = []string{"mallory"}; return d }(), "groups.release[0]", "mallory"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(c.document)
			if err == nil || p != nil {
				t.Fatalf("got policy %v and error %v, want an error alone", p, err)
			}
			var fault *FieldError
			if !errors.As(err, &fault) || len(faults(err)) != 1 {
				t.Fatalf("got %v, want one *FieldError", err)
			}
			if fault.Field != c.field || !strings.Contains(fault.Err.Error(), c.want) {
				t.Errorf("got %v, want %s and %q", err, c.field, c.want)
			}
		})
	}
}

func TestCompileTakes(t *testing.T) {
	p := mustCompile(t, team(
		Rule{Name: "wait", Channels: []Glob{"wait"}, Effect: Deny, Message: "two\nlines"},
		approve(func(r *Rule) {
			r.Message = "ask in #releases"
			r.Approvals = []Requirement{{[]string{"release"}, 2, false}, {[]string{"security", "release"}, 1, false}}
			r.Limits = &Limits{IncreasingVersions: true, Rates: []Rate{{1, time.Second, PerRule}}}
		}),
		approve(func(r *Rule) { r.Name, r.BreakGlass, r.Expires = "emergency", true, time.Minute })))
	want := Decision{
		Effect: Approve, Rule: "approve", PolicyHash: p.Hash(), Expires: 24 * time.Hour,
		Reason:       `rule "approve" wants the approval of 2 of release and 1 of security or release: ask in #releases`,
		Requirements: []Requirement{{[]string{"release"}, 2, false}, {[]string{"security", "release"}, 1, false}},
	}
	q := release()
	if diff := cmp.Diff(want, p.Decide(q)); diff != "" {
		t.Error(diff)
	}
	want = Decision{
		Effect: Approve, Rule: "emergency", PolicyHash: p.Hash(), Expires: time.Minute, BreakGlass: true,
		Reason:       `rule "emergency" wants the approval of 2 of release`,
		Requirements: []Requirement{{[]string{"release"}, 2, false}},
	}
	q.BreakGlass, q.Channel = "payments are down", "wait"
	if diff := cmp.Diff(want, p.Decide(q)); diff != "" {
		t.Error(diff)
	}
	if l := p.Limits("approve"); l == nil || !l.IncreasingVersions || len(l.Rates) != 1 {
		t.Errorf("limits of approve: got %+v", l)
	}
	for _, rule := range []string{"emergency", "wait", "nothing", ""} {
		if l := p.Limits(rule); l != nil {
			t.Errorf("limits of %q: got %+v, want none", rule, l)
		}
	}
}

// What an emergency may is not what others may, and the other way round.
func TestBreakGlassAsksItsOwnRulesOnly(t *testing.T) {
	p := mustCompile(t, team(
		approve(func(r *Rule) { r.Name, r.BreakGlass, r.Apps = "emergency", true, []Glob{"com.acme.*"} }),
		Rule{Name: "all", Effect: Allow}))
	for _, c := range []struct{ app, why, rule, reason string }{
		{"com.acme.shop", "", "all", "allows it"},
		{"com.acme.shop", "outage", "emergency", "wants the approval"},
		{"com.other.shop", "outage", "", `no rule for emergencies matches app "com.other.shop"`},
	} {
		q := release()
		q.App, q.BreakGlass = c.app, c.why
		if d := p.Decide(q); d.Rule != c.rule || !strings.Contains(d.Reason, c.reason) || d.BreakGlass != (c.rule == "emergency") {
			t.Errorf("%s because of %q: got %+v, want rule %q and %q", c.app, c.why, d, c.rule, c.reason)
		}
	}
}

func TestListsOfARule(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want bool
	}{
		"version":                   {Rule{Versions: []Glob{"1.9.*", "1.1*"}}, true},
		"other version":             {Rule{Versions: []Glob{"2.*"}}, false},
		"unit":                      {Rule{Units: []Glob{"actions-runner*.service"}}, true},
		"other unit":                {Rule{Units: []Glob{"cron.service"}}, false},
		"unit instead of user":      {Rule{Users: []Glob{"bob"}, Units: []Glob{"actions-runner.service"}}, true},
		"token":                     {Rule{Tokens: []Glob{"gitlab", "git*"}}, true},
		"other token":               {Rule{Tokens: []Glob{"gitlab"}}, false},
		"token besides the user":    {Rule{Users: []Glob{"bob"}, Tokens: []Glob{"github"}}, false},
		"user and token":            {Rule{Users: []Glob{"ci"}, Tokens: []Glob{"github"}}, true},
		"subject is no issuer":      {Rule{Tokens: []Glob{"repo:*"}}, false},
		"user is not taken as unit": {Rule{Units: []Glob{"ci"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Name, c.rule.Effect = "r", Allow
			if d := mustNew(t, c.rule).Decide(release()); (d.Effect == Allow) != c.want {
				t.Errorf("got %+v, want a match: %t", d, c.want)
			}
		})
	}
	q := release()
	q.Requester.Unit, q.Requester.Token = "", nil
	for name, r := range map[string]Rule{
		"no unit is not in *":  {Units: []Glob{"*"}},
		"no token is not in *": {Tokens: []Glob{"*"}},
	} {
		r.Name, r.Effect = "r", Allow
		if d := mustNew(t, r).Decide(q); d.Effect != Deny {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

func TestHashIsOfTheWholeDocument(t *testing.T) {
	document := func(change func(*Document)) Document {
		d := team(approve(nil))
		d.Freezes = Freezes{Users: []Glob{"alice"}, Lift: []Requirement{{[]string{"security"}, 1, false}}}
		if change != nil {
			change(&d)
		}
		return d
	}
	hash := mustCompile(t, document(nil)).Hash()
	if !strings.HasPrefix(hash, "sha256:") || len(hash) != len("sha256:")+64 {
		t.Errorf("got %q", hash)
	}
	for name, change := range map[string]func(*Document){
		"the same":           func(*Document) {},
		"a default said":     func(d *Document) { d.Rules[0].Expires = 24 * time.Hour },
		"an empty list said": func(d *Document) { d.Rules[0].Apps = []Glob{} },
	} {
		if got := mustCompile(t, document(change)).Hash(); got != hash {
			t.Errorf("%s: got another hash", name)
		}
	}
	seen := map[string]string{hash: "the same"}
	for name, change := range map[string]func(*Document){
		"effect":      func(d *Document) { d.Rules[0] = Rule{Name: "approve", Effect: Allow} },
		"threshold":   func(d *Document) { d.Rules[0].Approvals[0].Threshold = 1 },
		"verified":    func(d *Document) { d.Rules[0].Approvals = nil; d.Rules[0].Effect = Deny },
		"when":        func(d *Document) { d.Rules[0].When = "true" },
		"expiry":      func(d *Document) { d.Rules[0].Expires = time.Hour },
		"limit":       func(d *Document) { d.Rules[0].Limits = &Limits{IncreasingVersions: true} },
		"break glass": func(d *Document) { d.Rules[0].BreakGlass = true },
		"keys":        func(d *Document) { d.AllowedSigners = append([]byte("# a comment\n"), d.AllowedSigners...) },
		"group":       func(d *Document) { d.Groups["release"] = []string{"alice", "bob"} },
		"account":     func(d *Document) { d.Accounts["dave"] = Accounts{Users: []string{"dave"}} },
		"freezers":    func(d *Document) { d.Freezes.Users = nil },
		"lift":        func(d *Document) { d.Freezes.Lift = nil },
	} {
		got := mustCompile(t, document(change)).Hash()
		if other, dup := seen[got]; dup {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[got] = name
	}
}

// Nothing that a caller holds leads into the policy.
func TestPolicySharesNothing(t *testing.T) {
	d := team(approve(func(r *Rule) { r.Limits = &Limits{Rates: []Rate{{1, time.Hour, PerApp}}} }))
	d.Freezes = Freezes{Users: []Glob{"alice"}, Lift: []Requirement{{[]string{"security"}, 1, false}}}
	p := mustCompile(t, d)
	d.Rules[0].Approvals[0].From[0], d.Rules[0].Approvals[0].Threshold = "nobody", 0
	d.Rules[0].Limits.Rates[0].Most, d.Freezes.Users[0], d.Freezes.Lift[0].Threshold = 99, "*", 0
	p.Decide(release()).Requirements[0].From[0] = "nobody"
	p.Limits("approve").Rates[0].Most = 99
	p.LiftRequirements()[0].From[0] = "nobody"

	if got := describe(p.Decide(release()).Requirements); got != "2 of release" {
		t.Errorf("requirements: got %s", got)
	}
	if got := p.Limits("approve").Rates[0].Most; got != 1 {
		t.Errorf("limits: got %d", got)
	}
	if got := describe(p.LiftRequirements()); got != "1 of security" {
		t.Errorf("lift: got %s", got)
	}
	if p.MayFreeze(Identity{User: "eve"}) {
		t.Error("eve may freeze")
	}
}

func TestMayFreeze(t *testing.T) {
	p := mustCompile(t, Document{Freezes: Freezes{Users: []Glob{"oncall-*"}, Groups: []Glob{"release"}}})
	for name, c := range map[string]struct {
		who  Identity
		want bool
	}{
		"user":            {Identity{User: "oncall-1"}, true},
		"group":           {Identity{User: "alice", Groups: []string{"users", "release"}}, true},
		"neither":         {Identity{User: "release", Groups: []string{"oncall-1"}}, false},
		"without a name":  {Identity{Groups: []string{"release"}}, false},
		"nobody by token": {Identity{User: "ci", Token: &Token{Subject: "oncall-1"}}, false},
	} {
		if got := p.MayFreeze(c.who); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
	if mustNew(t).MayFreeze(Identity{User: "root", Groups: []string{"root"}}) || new(Policy).MayFreeze(Identity{User: "root"}) {
		t.Error("without a word about freezes somebody may freeze")
	}
	if reqs := mustNew(t).LiftRequirements(); len(reqs) != 0 {
		t.Errorf("got %v, want nothing to lift with", reqs)
	}
}
