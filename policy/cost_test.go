package policy

import (
	"fmt"
	"strings"
	"testing"
)

// long is a release with n groups in its claims.
func long(n int) Request {
	q := release()
	groups := make([]any, n)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%d", i)
	}
	q.Requester.Token.Claims["groups"] = groups
	return q
}

// A condition that would not end in a lifetime ends in an error, and that denies.
func TestWhenThatNeverEnds(t *testing.T) {
	p := mustNew(t,
		Rule{Name: "endless", When: `claims.groups.all(a, claims.groups.all(b, claims.groups.all(c, claims.groups.all(d, a + b + c + d != ""))))`, Effect: Deny},
		Rule{Name: "all", Effect: Allow})
	d := p.Decide(long(5000))
	if d.Effect != Deny || d.Rule != "endless" || !strings.Contains(d.Reason, "it costs more than 10000 steps") {
		t.Errorf("got %+v, want a denial because of the steps", d)
	}
	if d := p.Decide(long(2)); d.Reason != `rule "endless" denies it` {
		t.Errorf("with a short list: got %+v, want the condition evaluated", d)
	}
}

// A requester with a long token makes each of many conditions cost all it may.
func TestAllConditionsTogetherAreBounded(t *testing.T) {
	var rules []Rule
	for i := range 200 {
		rules = append(rules, Rule{Name: fmt.Sprint("rule ", i), When: `claims.groups.exists(g, g == "release")`, Effect: Allow})
	}
	p := mustNew(t, append(rules, Rule{Name: "all", Effect: Allow})...)
	q := long(1500)
	d, verdicts := p.Explain(q)
	if d.Effect != Deny || !strings.Contains(d.Reason, "it and those before it cost more than 100000 steps") {
		t.Errorf("got %+v, want a denial because of the steps", d)
	}
	for _, v := range verdicts {
		if v.Decided && (v.Rule != d.Rule || v.Matched || !strings.Contains(v.Reason, "more than 100000 steps")) {
			t.Errorf("got %+v, want it explained by the steps", v)
		}
	}
	if d := p.Decide(release()); d.Rule != "rule 0" {
		t.Errorf("with ordinary claims: got %+v", d)
	}
}

// What is not counted must be known to be cheap: it depends on how large the
// request is.
func TestWhatIsCounted(t *testing.T) {
	for text, want := range map[string]bool{
		`request.app == "com.acme.shop"`:                       true,
		`claims.ref == "refs/heads/main"`:                      true,
		`"release" in claims.groups`:                           true,
		`labels.ticket.matches("^[A-Z]+-[0-9]+$")`:             true,
		`claims.groups.exists(g, g == "release")`:              true,
		`peer.groups.exists(g, g.startsWith("rel"))`:           true,
		`claims.groups.all(a, claims.groups.all(b, a != b))`:   false,
		`labels.all(a, labels.all(b, labels[a] != labels[b]))`: false,
	} {
		e, err := newEngine()
		if err != nil {
			t.Fatal(err)
		}
		c, faults := e.compile(text)
		if faults != nil {
			if want {
				t.Errorf("%s: %v", text, faults[0])
			}
			continue
		}
		if c.cheap != want {
			t.Errorf("%s: cheap is %t, want %t", text, c.cheap, want)
		}
	}
	text := strings.Repeat("x", usualText+1)
	nested := any("x")
	for range 20 {
		nested = []any{nested, nested}
	}
	for name, c := range map[string]struct {
		change func(*Request)
		want   bool
	}{
		"ordinary":        {func(*Request) {}, true},
		"no token":        {func(q *Request) { q.Requester.Token = nil }, true},
		"long channel":    {func(q *Request) { q.Channel = text }, false},
		"long reason":     {func(q *Request) { q.BreakGlass = text }, false},
		"long label":      {func(q *Request) { q.Labels["x"] = text }, false},
		"long label name": {func(q *Request) { q.Labels[text] = "x" }, false},
		"many labels": {func(q *Request) {
			for i := range 33 {
				q.Labels[fmt.Sprint(i)] = "x"
			}
		}, false},
		"many groups":      {func(q *Request) { q.Requester.Groups = make([]string, 65) }, false},
		"long group":       {func(q *Request) { q.Requester.Groups = []string{text} }, false},
		"long subject":     {func(q *Request) { q.Requester.Token.Subject = text }, false},
		"long claim":       {func(q *Request) { q.Requester.Token.Claims["x"] = text }, false},
		"long claim name":  {func(q *Request) { q.Requester.Token.Claims[text] = "x" }, false},
		"long list":        {func(q *Request) { *q = long(257) }, false},
		"long text inside": {func(q *Request) { q.Requester.Token.Claims["x"] = []any{map[string]any{"y": text}} }, false},
		"many texts": {func(q *Request) {
			q.Requester.Token.Claims["x"] = []any{long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims, long(250).Requester.Token.Claims}
		}, false},
		"a bomb": {func(q *Request) { q.Requester.Token.Claims["x"] = nested }, false},
	} {
		q := release()
		c.change(&q)
		if got := fits(&q); got != c.want {
			t.Errorf("%s: fits is %t, want %t", name, got, c.want)
		}
	}
}
