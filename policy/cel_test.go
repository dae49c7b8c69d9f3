package policy

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// when makes a policy of one rule that allows under a condition.
func when(t *testing.T, text string) *Policy {
	t.Helper()
	return mustNew(t, Rule{Name: "conditional", When: text, Effect: Allow})
}

// release is a request with all there can be in it.
func release() Request {
	return Request{
		App: "com.acme.shop", Channel: "production", Version: "1.10.0", Digest: strings.Repeat("ab", 32), Files: 3, Key: "shop",
		Labels: map[string]string{"ticket": "CHG-123", "branch": "main"},
		Requester: Identity{
			UID: 1000, GID: 100, User: "ci", Groups: []string{"ci", "docker"}, Unit: "actions-runner.service",
			Token: &Token{Issuer: "github", Subject: "repo:acme/shop:ref:refs/heads/main", ID: "1", Claims: map[string]any{
				"actor": "alice", "ref": "refs/heads/main", "run_attempt": 1.0, "protected": true, "nothing": nil,
				"groups": []any{"release", "dev"}, "job": map[string]any{"name": "build"},
			}},
		},
		Time: time.Date(2026, 3, 27, 22, 30, 0, 0, time.UTC), // a Friday; 23:30 in Zurich
		Last: Release{Request: "r1", Version: "1.9.0", Digest: strings.Repeat("cd", 32), Time: time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)},
	}
}

func TestWhen(t *testing.T) {
	for text, want := range map[string]bool{
		`request.app == "com.acme.shop" && request.channel == "production" && request.version == "1.10.0"`: true,
		`request.digest.startsWith("abab") && request.files == 3 && request.key == "shop"`:                 true,
		`request.break_glass == ""`:                                        true,
		`request.version.matches("^1\\.")`:                                 true,
		`request.version.matches("^2\\.")`:                                 false,
		`peer.uid == 1000 && peer.gid == 100 && peer.user == "ci"`:         true,
		`"docker" in peer.groups && peer.unit == "actions-runner.service"`: true,
		`peer.groups.exists(g, g.startsWith("dock"))`:                      true,
		`size(peer.groups) == 2`:                                           true,
		`has(token.issuer) && token.issuer == "github"`:                    true,
		`token.subject.endsWith(":ref:refs/heads/main")`:                   true,
		`claims.actor == "alice" && claims["ref"] == "refs/heads/main"`:    true,
		`claims.run_attempt == 1`:                                          true,
		`claims.run_attempt > 1`:                                           false,
		`claims.protected == true && claims.nothing == null`:               true,
		`"release" in claims.groups && claims.groups.size() == 2`:          true,
		`claims.job.name == "build"`:                                       true,
		`has(claims.environment)`:                                          false,
		`has(claims.job) && has(claims.job.name)`:                          true,
		`labels.ticket.matches("^CHG-[0-9]+$")`:                            true,
		`"ticket" in labels && labels["branch"] in ["main", "release"]`:    true,
		`has(labels.approved)`:                                             false,
		`labels.all(k, labels[k] != "")`:                                   true,
		`now.getDayOfWeek() == 5 && now.getHours() == 22`:                  true,
		`now.getHours("Europe/Zurich") == 23`:                              true,
		`now.getHours("+02:30") == 1 && now.getDayOfWeek("+02:30") == 6`:   true,
		`now.getHours("-08:00") == 14`:                                     true,
		`now > timestamp("2026-03-27T22:00:00Z")`:                          true,
		`now - last.time > duration("24h")`:                                true,
		`newer(request.version, last.version)`:                             true,
		`newer("1.0.0-rc.1", "1.0.0")`:                                     false,
		`newer("1.0.0+b", "1.0.0+a")`:                                      false,
		`last.request == "r1" && last.digest != request.digest`:            true,
		`has(last.version) ? last.version != request.version : true`:       true,
	} {
		t.Run(text, func(t *testing.T) {
			d := when(t, text).Decide(release())
			if got := d.Effect == Allow; got != want || (!want && !strings.HasPrefix(d.Reason, "no rule matches")) {
				t.Errorf("got %+v, want a match: %t", d, want)
			}
		})
	}
}

// What cannot be evaluated denies, although a later rule would allow.
func TestWhenThatFailsDenies(t *testing.T) {
	nothing := func(q *Request) { q.Requester.Token, q.Labels, q.Last = nil, nil, Release{} }
	for text, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		`labels["approved"] == "yes"`:           {nil, `no such key: approved; ask with has(...) or in whether there is a "approved" before using it`},
		`labels.ticket == "x"`:                  {nothing, "no such key: ticket"},
		`claims.environment == "x"`:             {nil, "no such key: environment"},
		`claims.actor == "alice"`:               {nothing, "no such key: actor"},
		`claims.actor.name == "x"`:              {nil, "no such"},
		`token.issuer == "github"`:              {nothing, "the requester has no token; ask with has(token.issuer) before using it"},
		`newer(request.version, last.version)`:  {nothing, "nothing was signed yet for this app and channel; ask with has(last.version)"},
		`newer(request.version, labels.branch)`: {nil, `found version "main", want one by semver 2.0.0`},
		`newer(request.version, "1.2")`:         {nil, `found version "1.2", want one by semver`},
		`claims.groups > 1`:                     {nil, "no such overload"},
		`claims.groups[5] == "x"`:               {nil, "index out of bounds"},
		`1 / (request.files - 3) == 1`:          {nil, "division by zero"},
		`int(labels.ticket) == 1`:               {nil, "type conversion error"},
		`claims.groups.exists(g, g.startsWith("x")) || claims.nothing == 1 || claims.x`: {nil, "no such key: x"},
	} {
		t.Run(text, func(t *testing.T) {
			p := mustNew(t,
				Rule{Name: "checked", When: text, Effect: Deny},
				Rule{Name: "all", Effect: Allow})
			q := release()
			if c.change != nil {
				c.change(&q)
			}
			d := p.Decide(q)
			if d.Effect != Deny || d.Rule != "checked" || !strings.HasPrefix(d.Reason, `the condition of rule "checked" cannot be evaluated, and so it is denied: `) || !strings.Contains(d.Reason, c.want) {
				t.Errorf("got %+v, want a denial by %q with %q", d, "checked", c.want)
			}
		})
	}
}

func TestWhenIsAskedOnlyIfTheListsMatch(t *testing.T) {
	p := mustNew(t,
		Rule{Name: "other app", Apps: []Glob{"com.other.*"}, When: `labels.absent == ""`, Effect: Deny},
		Rule{Name: "all", Effect: Allow})
	if d := p.Decide(release()); d.Rule != "all" {
		t.Errorf("got %+v, want it decided by %q", d, "all")
	}
}

func TestWhenIsCheckedAtLoad(t *testing.T) {
	for text, c := range map[string]struct {
		line, column int
		want         string
	}{
		`request.app = "x"`: {1, 13, "Syntax error"},
		`request.ap == "x"`: {1, 8, "undefined field 'ap'"},
		"request.app == \"x\" &&\n  reqest.channel == \"y\"":               {2, 3, "undeclared reference to 'reqest'"},
		`request.files == "3"`:                                             {1, 15, "found no matching overload"},
		`request.app`:                                                      {1, 1, "found an expression of type string, want bool"},
		`claims.admin`:                                                     {1, 1, "found an expression of type dyn, want bool"},
		`labels.ticket == 1`:                                               {1, 15, "found no matching overload"},
		`request.app.matches("(")`:                                         {1, 21, "invalid matches argument"},
		`now > timestamp("yesterday")`:                                     {1, 17, "invalid timestamp argument"},
		`now - last.time > duration("1 day")`:                              {1, 28, "invalid duration argument"},
		`request.app.matches(labels.branch)`:                               {1, 27, "want a regular expression that is written out"},
		`matches(request.app, request.key)`:                                {1, 29, "want a regular expression that is written out"},
		`request.channel in ["a", 1]`:                                      {1, 26, "expected type 'string' but found 'int'"},
		`now.getHours("Europe/Zürich") == 1`:                               {1, 14, `found time zone "Europe/Zürich"`},
		`now.getHours("Local") == 1`:                                       {1, 14, `found time zone "Local"`},
		`now.getHours("") == 1`:                                            {1, 14, `found time zone ""`},
		`now.getHours("../../etc/passwd") == 1`:                            {1, 14, "which this machine does not know"},
		`now.getHours(labels.tz) == 1`:                                     {1, 20, "want a time zone that is written out"},
		`now.getHours("U" + "TC") == 1`:                                    {1, 18, "want a time zone that is written out"},
		`dyn(now).getHours(labels.tz) == 1`:                                {1, 25, "want a time zone that is written out"},
		`labels.exists(a, labels.exists(b, labels.exists(c, a + b == c)))`: {0, 0, "evaluating it could cost"},
		`[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, [1,2,3,4,5,6,7,8].all(c, [1,2,3,4,5,6,7,8].all(d, a+b+c+d > 0))))`: {0, 0, "evaluating it could cost"},
		`request.app == "` + strings.Repeat("x", maxWhen) + `"`:                                                               {0, 0, "size"},
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200):                                                          {0, 0, "recursion"},
		`peer.user.matches("` + strings.Repeat(`(a{1,9}b)`, 200) + `")`:                                                       {0, 0, "regex"},
		`request.app.lowerAscii() == "x"`:                                                                                     {1, 23, "undeclared reference to 'lowerAscii'"},
		`os.getenv("HOME") == ""`:                                                                                             {0, 0, "undeclared reference"},
		"request.app == \"\xff\"":                                                                                             {0, 0, "not valid UTF-8"},
		"request.app == \"a\u202e\"":                                                                                          {0, 0, "U+202E cannot be printed"},
		"request.app == \"a\x00\"":                                                                                            {0, 0, "U+0000 cannot be printed"},
		`@request{app: "x"}.app == "x"`:                                                                                       {0, 0, "Syntax error"},
	} {
		t.Run(text[:min(len(text), 60)], func(t *testing.T) {
			_, err := Compile(Document{Rules: []Rule{{Name: "a", Effect: Allow}, {Name: "b", When: text, Effect: Allow}}})
			var fault *FieldError
			if !errors.As(err, &fault) {
				t.Fatalf("got %v, want a *FieldError", err)
			}
			if fault.Field != "rules[1].when" || !strings.Contains(fault.Err.Error(), c.want) {
				t.Errorf("got %v, want rules[1].when and %q", err, c.want)
			}
			if c.line > 0 && (fault.Line != c.line || fault.Column != c.column) {
				t.Errorf("got line %d, column %d, want %d and %d: %v", fault.Line, fault.Column, c.line, c.column, err)
			}
		})
	}
}

// What a requester put into a token does not get into logs as it is.
func TestErrorsOfConditionsCanBeShown(t *testing.T) {
	q := release()
	q.Requester.Token.Claims["key"] = "a\x1b[2J\u202e" + strings.Repeat("x", 1000)
	d := when(t, `labels[string(claims.key)] == ""`).Decide(q)
	if d.Effect != Deny || strings.ContainsAny(d.Reason, "\x1b\u202e") || len(d.Reason) > 3*maxError {
		t.Errorf("got %q", d.Reason)
	}
}

func TestDecideConcurrently(t *testing.T) {
	p := rulesThatDoNotMatch(t, 14, conditions()...)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				q := release()
				q.Requester.Token.Claims["groups"] = []any{"dev", []string{"admins", "users"}[i%2]}
				if d := p.Decide(q); (d.Rule == "last") != (i%2 == 1) {
					t.Errorf("goroutine %d: got %+v", i, d)
					return
				}
			}
		})
	}
	wg.Wait()
}
