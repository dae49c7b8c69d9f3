package policy

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWhen compiles and evaluates any expression over a request with any label:
// nothing panics, what is refused says where, and what is taken ends within its
// budget, always in the same way.
func FuzzWhen(f *testing.F) {
	for _, when := range append(conditions(),
		`labels.all(a, labels[a].matches("^(a|b)+$"))`,
		`claims.groups.map(g, g + labels.x).filter(g, g.size() > 3).exists_one(g, g == "release")`,
		`claims.groups.all(a, claims.groups.all(b, a + b != labels.x))`,
		`now.getHours("Europe/Zurich") < 18 && now - last.time > duration("1h")`,
		`{"a": 1}[labels.x] == 1 ? true : type(request) == type(peer)`,
		`dyn(request) == dyn(token) || [1, 2.0, 3u].size() == 3`,
		`timestamp(labels.x) > now`, `labels.x.matches(labels.x)`, `"\u202e" in labels`, "(((((", "\x00",
	) {
		f.Add(when, "x")
	}
	f.Fuzz(func(t *testing.T, when, label string) {
		e, err := newEngine()
		if err != nil {
			t.Fatal(err)
		}
		c, faults := e.compile(when)
		if (c == nil) != (len(faults) > 0) {
			t.Fatalf("got condition %v and faults %v", c, faults)
		}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Column < 1 || fault.Err.Error() == "" {
				t.Errorf("got %+v, want a place and a reason", fault)
			}
		}
		if c == nil {
			return
		}
		e.constant(c)
		q := long(300) // it is counted
		q.Labels["x"] = label
		counted := run{engine: e, request: &q}
		defer counted.close()
		ok, err := counted.test(c)
		if counted.tracker == nil {
			t.Fatal("the steps were not counted")
		}
		if err != nil && (ok || strings.Contains(err.Error(), "internal error")) {
			t.Errorf("got %t, %v", ok, err)
		}
		if cost := counted.tracker.ActualCost(); err == nil && cost > maxCost {
			t.Errorf("it cost %d steps", cost)
		}
		again := run{engine: e, request: &q}
		defer again.close()
		okAgain, errAgain := again.test(c)
		if okAgain != ok || (errAgain == nil) != (err == nil) {
			t.Errorf("got %t, %v, and then %t, %v", ok, err, okAgain, errAgain)
		}
		// What need not be counted costs no more than that.
		usual := release()
		usual.Labels["x"] = label
		if c.cheap && fits(&usual) {
			e.checkCheap(t, c, &usual)
		}
	})
}

// checkCheap counts the steps of a condition that is said to be cheap.
func (e *engine) checkCheap(t *testing.T, c *condition, q *Request) {
	counted := *c
	counted.cheap = false
	r := run{engine: e, request: q}
	defer r.close()
	if _, err := r.test(&counted); err == nil && r.tracker.ActualCost() > cheap {
		t.Errorf("it cost %d steps and is said to be cheap", r.tracker.ActualCost())
	}
}

// FuzzPolicy decides with any patterns about any request: the decision is the one
// that the definition of a rule gives, and that Explain explains.
func FuzzPolicy(f *testing.F) {
	f.Add("com.acme.*", "prod*", "1.*", "ci", "com.acme.shop", "production", "1.0.0", "ci")
	f.Add("*", "caf\u00e9", "*", "*", "x", "cafe\u0301", "", "")
	f.Add("", "a\x00", "?", "\u202e", "\x00", "\xff", "1", "root")
	f.Fuzz(func(t *testing.T, apps, channels, versions, users, app, channel, version, user string) {
		r := Rule{Name: "r", Effect: Allow, Apps: []Glob{Glob(apps)}, Channels: []Glob{Glob(channels)}, Versions: []Glob{Glob(versions)}, Users: []Glob{Glob(users)}}
		p, err := New([]Rule{r})
		globs := []string{apps, channels, versions, users}
		if err != nil {
			return
		}
		for _, g := range globs {
			if !utf8.ValidString(g) || g == "" {
				t.Fatalf("took the pattern %q", g)
			}
		}
		want := user != ""
		for i, s := range []string{app, channel, version, user} {
			if len(globs[i]) > 12 || len(s) > 24 {
				return // slowMatch is slow
			}
			want = want && slowMatch(globs[i], s)
		}
		q := Request{App: app, Channel: channel, Version: version, Requester: Identity{User: user}}
		d, verdicts := p.Explain(q)
		if (d.Effect == Allow) != want || d.Reason == "" {
			t.Errorf("got %+v, want it allowed: %t", d, want)
		}
		if user != "" && verdicts[0].Decided != want {
			t.Errorf("got %+v, want it explained by %+v", d, verdicts)
		}
	})
}
