package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	p := mustCompile(t, team(
		Rule{Name: "other app", Apps: []Glob{"com.other.*", "com.x"}, Effect: Allow},
		Rule{Name: "other channel", Apps: []Glob{"com.acme.*"}, Channels: []Glob{"staging"}, Versions: []Glob{"9.*"}, Effect: Allow},
		Rule{Name: "other version", Versions: []Glob{"9.*"}, Effect: Allow},
		Rule{Name: "other user", Users: []Glob{"bob"}, Groups: []Glob{"release"}, Units: []Glob{"cron.*"}, Effect: Allow},
		Rule{Name: "other token", Tokens: []Glob{"gitlab"}, Effect: Allow},
		approve(func(r *Rule) { r.Name, r.BreakGlass = "emergency", true }),
		Rule{Name: "false", When: `labels.branch == "dev"`, Effect: Allow},
		approve(func(r *Rule) { r.When = `claims.actor == "alice"` }),
		Rule{Name: "later", Channels: []Glob{"production"}, Effect: Allow},
		Rule{Name: "broken", When: `labels.nothing == ""`, Effect: Allow}))
	d, verdicts := p.Explain(release())
	if diff := cmp.Diff(p.Decide(release()), d); diff != "" {
		t.Errorf("not the decision of Decide: %s", diff)
	}
	want := []Verdict{
		{Rule: "other app", Reason: `app "com.acme.shop" matches none of [com.other.* com.x]`},
		{Rule: "other channel", Reason: `channel "production" matches none of [staging]`},
		{Rule: "other version", Reason: `version "1.10.0" matches none of [9.*]`},
		{Rule: "other user", Reason: `user "ci" matches none of [bob]; none of the groups ["ci" "docker"] matches one of [release]; unit "actions-runner.service" matches none of [cron.*]`},
		{Rule: "other token", Reason: `issuer "github" matches none of [gitlab]`},
		{Rule: "emergency", Reason: "it is for emergencies, and the request is none"},
		{Rule: "false", Reason: "its condition is false"},
		{Rule: "approve", Reason: "its lists match, and its condition is true", Matched: true, Decided: true},
		{Rule: "later", Reason: "its lists match", Matched: true},
		{Rule: "broken", Reason: `its condition cannot be evaluated: no such key: nothing; ask with has(...) or in whether there is a "nothing" before using it`},
	}
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Error(diff)
	}

	q := release()
	q.Requester.Token, q.Requester.Unit = nil, ""
	_, verdicts = p.Explain(q)
	for rule, want := range map[string]string{
		"other user":  "it runs in no unit, want one of [cron.*]",
		"other token": "it wants a token of one of [gitlab], and there is none",
	} {
		if !explained(verdicts, rule, want) {
			t.Errorf("without unit and token: got %+v, want %q of %q", verdicts, want, rule)
		}
	}
	if v := verdicts[7]; !v.Decided || v.Matched || !strings.Contains(v.Reason, "no such key: actor") {
		t.Errorf("a rule that decides because it cannot be evaluated: got %+v", v)
	}

	q.BreakGlass = "outage"
	d, verdicts = p.Explain(q)
	if d.Rule != "emergency" || !explained(verdicts, "later", "the request is an emergency, and it is not for those") {
		t.Errorf("emergency: got %+v, %+v", d, verdicts)
	}
	q.Requester.User = ""
	if d, verdicts := p.Explain(q); d.Effect != Deny || verdicts != nil {
		t.Errorf("without a name: got %+v, %+v", d, verdicts)
	}
}

func explained(verdicts []Verdict, rule, reason string) bool {
	for _, v := range verdicts {
		if v.Rule == rule {
			return strings.Contains(v.Reason, reason)
		}
	}
	return false
}
