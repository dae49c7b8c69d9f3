package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

func need(threshold int, from ...string) policy.Requirement {
	return policy.Requirement{From: from, Threshold: threshold}
}

func verified(r policy.Requirement) policy.Requirement {
	r.UserVerification = true
	return r
}

// by makes approvals; a name with a "+" has verified its user, and one after "/" is
// of another key.
func by(names ...string) (approvals []policy.Approval) {
	for _, name := range names {
		name, uv := strings.CutSuffix(name, "+")
		name, key, _ := strings.Cut(name, "/")
		approvals = append(approvals, policy.Approval{Person: name, Key: "SHA256:" + key, UserVerified: uv})
	}
	return approvals
}

func show(missing []policy.Missing) string {
	var parts []string
	for _, m := range missing {
		part := fmt.Sprintf("%d of %s: %s", m.Count, strings.Join(m.From, "+"), strings.Join(m.Candidates, " "))
		if m.UserVerification {
			part += " (verified)"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// team has the release managers alice, bob and carol and the security people carol
// and dave, of whom carol and dave have FIDO2 keys.
func team(t *testing.T) *policy.People {
	t.Helper()
	sk := policytest.AllowedSigners(policytest.NewPerson(t, "carol", policytest.SKEd25519), policytest.NewPerson(t, "dave", policytest.SKECDSA))
	people, err := policy.NewPeople(append(everybody(t, "alice", "bob", "carol", "erin"), sk...),
		map[string][]string{"release": {"carol", "bob", "alice"}, "security": {"dave", "carol"}, "solo": {"carol"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return people
}

func TestMissing(t *testing.T) {
	people := team(t)
	two, security := need(2, "release"), need(1, "security")
	for _, c := range []struct {
		name      string
		reqs      []policy.Requirement
		approvals []policy.Approval
		except    []string
		want      string
	}{
		{"nobody yet", []policy.Requirement{two}, nil, nil, "2 of release: alice bob carol"},
		{"one", []policy.Requirement{two}, by("bob"), nil, "1 of release: alice carol"},
		{"all", []policy.Requirement{two}, by("bob", "alice"), nil, ""},
		{"more than all", []policy.Requirement{two}, by("bob", "alice", "carol"), nil, ""},
		{"one person with two keys", []policy.Requirement{two}, by("bob/1", "bob/2", "bob/1"), nil, "1 of release: alice carol"},
		{"somebody of another group", []policy.Requirement{two}, by("dave", "bob"), nil, "1 of release: alice carol"},
		{"somebody of no group", []policy.Requirement{two}, by("erin", "bob"), nil, "1 of release: alice carol"},
		{"somebody unknown", []policy.Requirement{two}, by("mallory", ""), nil, "2 of release: alice bob carol"},
		{"the requester", []policy.Requirement{two}, by("alice", "bob"), []string{"alice"}, "1 of release: carol"},
		{"any of two groups", []policy.Requirement{need(3, "release", "security")}, by("dave"), nil, "2 of release+security: alice bob carol"},
		{"both requirements", []policy.Requirement{two, security}, nil, nil, "2 of release: alice bob carol; 1 of security: carol dave"},
		{"in both groups, counts once", []policy.Requirement{need(1, "release"), security}, by("carol"), nil, "1 of release: alice bob"},
		{"in both groups, in the other order", []policy.Requirement{security, need(1, "release")}, by("carol"), nil, "1 of release: alice bob"},
		{"makes room", []policy.Requirement{need(1, "release"), security}, by("carol", "dave"), nil, ""},
		{"makes room twice", []policy.Requirement{need(1, "release"), need(1, "solo"), security}, by("alice", "carol", "dave"), nil, ""},
		{"counts where the rest can be met", []policy.Requirement{need(1, "release"), need(1, "solo")}, by("alice"), nil, "1 of solo: carol"},
		{"leaves room for those to come", []policy.Requirement{security, need(1, "solo", "release")}, by("carol"), []string{"alice", "bob"}, "1 of security: dave"},
		{"unknown group", []policy.Requirement{need(1, "marketing")}, by("alice"), nil, "1 of marketing: "},
		{"no threshold", []policy.Requirement{need(0, "release")}, nil, nil, "1 of release: alice bob carol"},
		{"an immense threshold", []policy.Requirement{need(1<<62, "solo")}, by("carol"), nil, fmt.Sprintf("%d of solo: ", 1<<62-1)},
		{"no requirements", nil, nil, nil, ""},
		{"verified", []policy.Requirement{verified(two)}, by("carol+"), nil, "1 of release:  (verified)"},
		{"not verified", []policy.Requirement{verified(security)}, by("carol"), nil, "1 of security: carol dave (verified)"},
		{"verified with the second key", []policy.Requirement{verified(security)}, by("carol/1", "carol/2+", "carol/1"), nil, ""},
		{"verified counts where it is wanted", []policy.Requirement{need(1, "security"), verified(security)}, by("carol+", "dave"), nil, ""},
		{"again, with the other key", []policy.Requirement{need(1, "release"), verified(need(1, "solo"))}, by("carol"), nil, "1 of solo: carol (verified)"},
	} {
		got := people.Missing(c.reqs, c.approvals, c.except)
		if show(got) != c.want {
			t.Errorf("%s: got %q, want %q", c.name, show(got), c.want)
		}
		// In whatever order they came.
		slices.Reverse(c.approvals)
		if diff := cmp.Diff(got, people.Missing(c.reqs, c.approvals, c.except)); diff != "" {
			t.Errorf("%s: depends on the order of approvals: %s", c.name, diff)
		}
	}
	if got := new(policy.People).Missing([]policy.Requirement{two}, by("alice", "bob"), nil); show(got) != "2 of release: " {
		t.Errorf("without people: got %q", show(got))
	}
}

func TestFeasible(t *testing.T) {
	people := team(t)
	two, security := need(2, "release"), need(1, "security")
	for _, c := range []struct {
		name   string
		reqs   []policy.Requirement
		except []string
		want   string
	}{
		{"nothing", nil, nil, ""},
		{"enough", []policy.Requirement{two, security}, nil, ""},
		{"enough, just", []policy.Requirement{need(3, "release"), security}, nil, ""},
		{"enough without carol", []policy.Requirement{two, security}, []string{"carol"}, ""},
		{"too few", []policy.Requirement{need(4, "release")}, nil, "4 different people of release must agree, and there are only 3 who can: alice, bob, carol"},
		{"too few without her", []policy.Requirement{need(3, "release")}, []string{"carol"}, "3 different people of release must agree, and there are only 2 who can: alice, bob; not counting carol"},
		{"nobody", []policy.Requirement{need(1, "solo")}, []string{"carol"}, "1 different people of solo must agree, and there are only 0 who can: nobody; not counting carol"},
		{"each, but not together", []policy.Requirement{two, need(2, "security"), need(1, "release")}, nil, "5 different people of release, security must agree, and there are only 4 who can: alice, bob, carol, dave"},
		{"names only those in the way", []policy.Requirement{two, need(1, "solo"), need(1, "solo")}, nil, "2 different people of solo must agree, and there are only 1 who can: carol"},
		{"unknown group", []policy.Requirement{need(1, "marketing")}, nil, `found the group "marketing", want one of those in people.groups: release, security, solo`},
		{"no threshold", []policy.Requirement{need(0, "release")}, nil, "found the threshold 0, want at least 1"},
		{"two faults", []policy.Requirement{need(9, "security"), need(9, "solo")}, nil, "9 different people of security must agree, and there are only 2 who can: carol, dave\n9 different people of solo must agree, and there are only 1 who can: carol"},
		{"verified", []policy.Requirement{verified(security)}, nil, ""},
		{"no FIDO2 keys", []policy.Requirement{verified(two)}, nil, "2 different people of release must agree, and there are only 1 who can: carol; for user verification a person needs a FIDO2 key"},
	} {
		got := ""
		if err := people.Feasible(c.reqs, c.except); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Somebody whose keys are for something else is no candidate.
func TestCandidatesCanApprove(t *testing.T) {
	thaw := policytest.NewPerson(t, "thaw", policytest.Ed25519)
	thaw.Options = `namespaces="bundlesign-thaw@v1"`
	git := policytest.NewPerson(t, "thaw", policytest.SKEd25519)
	git.Options = `namespaces="git"`
	people, err := policy.NewPeople(policytest.AllowedSigners(thaw, git), map[string][]string{"lift": {"thaw"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := show(people.Missing([]policy.Requirement{need(1, "lift"), verified(need(1, "lift"))}, nil, nil)); got != "1 of lift: thaw; 1 of lift:  (verified)" {
		t.Errorf("got %q", got)
	}
}

// Missing and Feasible against the definition, tried out: every way to give each
// person one seat or none.
func TestMissingIsTheBestMatching(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	var persons []*policytest.Person
	for i, name := range names {
		kind := policytest.Ed25519
		if i%2 == 0 {
			kind = policytest.SKEd25519
		}
		persons = append(persons, policytest.NewPerson(t, name, kind))
	}
	signers := policytest.AllowedSigners(persons...)
	rapid.Check(t, func(t *rapid.T) {
		groups := make(map[string][]string)
		for _, g := range []string{"p", "q", "r"} {
			groups[g] = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 5, rapid.ID[string]).Draw(t, g)
		}
		people, err := policy.NewPeople(signers, groups, nil)
		if err != nil {
			t.Fatal(err)
		}
		reqs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Requirement {
			return policy.Requirement{
				From:             rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p", "q", "r"}), 1, 3, rapid.ID[string]).Draw(t, "from"),
				Threshold:        rapid.IntRange(1, 3).Draw(t, "threshold"),
				UserVerification: rapid.Bool().Draw(t, "user verification"),
			}
		}), 1, 3).Draw(t, "requirements")
		approvals := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Approval {
			return policy.Approval{Person: rapid.SampledFrom(append(names, "x")).Draw(t, "person"), UserVerified: rapid.Bool().Draw(t, "verified")}
		}), 0, 6).Draw(t, "approvals")
		except := rapid.SliceOfN(rapid.SampledFrom(names), 0, 2).Draw(t, "except")

		member := func(name string, r policy.Requirement) bool {
			return !slices.Contains(except, name) && slices.ContainsFunc(r.From, func(g string) bool { return slices.Contains(groups[g], name) })
		}
		total := 0
		for _, r := range reqs {
			total += r.Threshold
		}
		best := mostSeats(names, reqs, func(name string, r policy.Requirement) bool {
			return member(name, r) && slices.ContainsFunc(approvals, func(a policy.Approval) bool {
				return a.Person == name && (a.UserVerified || !r.UserVerification)
			})
		})
		missing := people.Missing(reqs, approvals, except)
		count := 0
		for _, m := range missing {
			count += m.Count
			for _, name := range m.Candidates {
				if slices.Contains(except, name) {
					t.Errorf("%s is excepted and a candidate", name)
				}
			}
			if m.Count < 1 || !slices.IsSorted(m.Candidates) {
				t.Errorf("got %+v", m)
			}
		}
		if count != total-best {
			t.Errorf("lacks %d, want %d: %+v", count, total-best, missing)
		}

		possible := mostSeats(names, reqs, func(name string, r policy.Requirement) bool {
			return member(name, r) && (!r.UserVerification || slices.Index(names, name)%2 == 0)
		}) == total
		if err := people.Feasible(reqs, except); (err == nil) != possible {
			t.Errorf("feasible: got %v, want %t", err, possible)
		}
		// If it can be done, then by candidates.
		for round := 0; possible && len(missing) > 0; round++ {
			if round > 2*total || len(missing[0].Candidates) == 0 {
				t.Fatalf("stuck with %+v", missing)
			}
			for _, m := range missing {
				for _, name := range m.Candidates {
					approvals = append(approvals, policy.Approval{Person: name, UserVerified: slices.Index(names, name)%2 == 0})
				}
			}
			missing = people.Missing(reqs, approvals, except)
		}
	})
}

// mostSeats tries every way, and returns how many seats the best one takes.
func mostSeats(names []string, reqs []policy.Requirement, can func(string, policy.Requirement) bool) int {
	taken := make([]int, len(reqs))
	var try func(i int) int
	try = func(i int) int {
		if i == len(names) {
			return 0
		}
		best := try(i + 1)
		for j, r := range reqs {
			if taken[j] < r.Threshold && can(names[i], r) {
				taken[j]++
				best = max(best, 1+try(i+1))
				taken[j]--
			}
		}
		return best
	}
	return try(0)
}
