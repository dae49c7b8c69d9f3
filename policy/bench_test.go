package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The conditions of rules that do not match [release], of the kinds that policies
// have.
func conditions() []string {
	return []string{
		`claims.ref == "refs/tags/v1" && labels.ticket.startsWith("CHG-")`,
		`has(labels.hotfix) && "release" in claims.groups`,
		`request.channel == "production" && request.version == "0.0.1" || peer.unit == "other.service"`,
		`now.getDayOfWeek("Europe/Zurich") in [0, 6] && peer.user == "ci"`,
		`has(last.version) && !newer(request.version, last.version)`,
		`labels.ticket.matches("^INC-[0-9]+$") && claims.protected == true`,
		`claims.groups.exists(g, g == "admins")`,
	}
}

// rulesThatDoNotMatch returns a policy of n rules of which only the conditions do
// not match, and a last one that does.
func rulesThatDoNotMatch(t testing.TB, n int, conditions ...string) *Policy {
	var rules []Rule
	for i := range n {
		rules = append(rules, Rule{
			Name: fmt.Sprintf("rule %d", i), Effect: Allow,
			Apps: []Glob{"com.other.*", "com.acme.*"}, Channels: []Glob{"staging", "prod*"}, Users: []Glob{"ci"},
			When: conditions[i%len(conditions)],
		})
	}
	return mustCompile(t, Document{Rules: append(rules, Rule{Name: "last", Effect: Allow})})
}

// A decision takes no more memory because there are more rules that do not match.
//
// What makes a new value, such as a difference of times or a longer text, takes
// memory for that. So does a condition whose steps are counted, as it could cost
// much. Policies rarely have either.
func TestAllocationsDoNotGrowWithRules(t *testing.T) {
	others := []string{"", `has(token.issuer) && token.issuer != "github"`, `request.files > 100`, `!("ticket" in labels)`}
	for _, when := range append(conditions(), others...) {
		t.Run(when, func(t *testing.T) {
			few, many := allocations(t, 10, when), allocations(t, 200, when)
			// Loops and regular expressions take what they need from pools, which the
			// race detector makes forget a part at random.
			if most := few + 190*0.9; many > most {
				t.Errorf("%g allocations with 10 rules, %g with 200: at least one for each rule", few, many)
			}
			if pooled := strings.Contains(when, "exists") || strings.Contains(when, "matches"); !pooled && many > few+5 {
				t.Errorf("%g allocations with 10 rules, %g with 200", few, many)
			}
		})
	}
}

// allocations of a decision that n rules do not match, by their condition or, if
// there is none, by their lists.
func allocations(t testing.TB, n int, conditions ...string) float64 {
	p := rulesThatDoNotMatch(t, n, conditions...)
	if conditions[0] == "" {
		other := Rule{Name: "other app", Apps: []Glob{"com.other.*"}, Effect: Deny}
		p = mustCompile(t, Document{Rules: append(sameRule(other, n), Rule{Name: "last", Effect: Allow})})
	}
	q := release()
	return testing.AllocsPerRun(50, func() {
		if d := p.Decide(q); d.Rule != "last" {
			t.Fatalf("got %+v, want it decided by the last rule", d)
		}
	})
}

func sameRule(r Rule, n int) []Rule {
	var rules []Rule
	for i := range n {
		r.Name = fmt.Sprintf("%s %d", r.Name, i)
		rules = append(rules, r)
	}
	return rules
}

// BenchmarkDecide200Rules decides about a request that 200 rules with conditions
// do not match, all of which are evaluated, and that the last rule allows. To
// compare, it does the same with one and with ten such rules: time grows with
// their number, allocations do not.
func BenchmarkDecide200Rules(b *testing.B) {
	one := rulesThatDoNotMatch(b, 1, conditions()...)
	ten := rulesThatDoNotMatch(b, 10, conditions()...)
	many := rulesThatDoNotMatch(b, 200, conditions()...)
	q := release()
	decide := func(b *testing.B, p *Policy) {
		if d := p.Decide(q); d.Rule != "last" {
			b.Fatalf("got %+v, want it decided by the last rule", d)
		}
	}
	for _, c := range []struct {
		name   string
		policy *Policy
	}{{"one rule", one}, {"10 rules", ten}, {"200 rules", many}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(b, c.policy)
			}
		})
	}
	b.Run("200 rules against one", func(b *testing.B) {
		took := func(p *Policy) float64 {
			start := time.Now()
			for range 100 {
				decide(b, p)
			}
			return float64(time.Since(start))
		}
		var ratio []float64
		for b.Loop() {
			ratio = append(ratio, took(many)/took(one)) // in turn, so that both meet the same machine
		}
		slices.Sort(ratio)
		b.ReportMetric(ratio[len(ratio)/2], "times-as-long")
		b.ReportMetric(0, "ns/op") // of a round: means nothing
	})
}
