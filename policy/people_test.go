package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

// everybody makes one person with an Ed25519 key for each name.
func everybody(t *testing.T, names ...string) []byte {
	var people []*policytest.Person
	for _, name := range names {
		people = append(people, policytest.NewPerson(t, name, policytest.Ed25519))
	}
	return policytest.AllowedSigners(people...)
}

func TestNewPeopleReportsEveryFault(t *testing.T) {
	git := policytest.NewPerson(t, "git", policytest.Ed25519)
	git.Options = `namespaces="git"`
	signers := append(everybody(t, "alice", "bob"), policytest.AllowedSigners(git)...)
	_, err := policy.NewPeople(signers,
		map[string][]string{
			"release": {"alice", "carol", "alice", "Bob", "git"},
			"none":    {},
			"a b":     {"alice"},
			"":        {"alice"},
		},
		map[string]policy.Accounts{
			"alice": {
				Users: []string{"alice", "", "ci", "ci "},
				Tokens: []policy.TokenAccount{
					{Issuer: "github", Claim: "actor", Value: "alice-acme"},
					{Issuer: "", Claim: "actor", Value: "x\u202e"},
				},
			},
			"bob":  {Users: []string{"bob", "ci"}, Tokens: []policy.TokenAccount{{Issuer: "github", Claim: "actor", Value: "Alice-ACME"}, {Issuer: "gitlab", Claim: "actor", Value: "alice-acme"}}},
			"dave": {Users: []string{"dave"}},
			"e\n":  {Users: []string{"eve"}},
		})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined errors", err)
	}
	var got []string
	for _, e := range joined.Unwrap() {
		var fault *policy.FieldError
		if !errors.As(e, &fault) {
			t.Fatalf("got %T, want a *FieldError", e)
		}
		got = append(got, fault.Error())
	}
	want := []string{
		`groups: found no name of a group`,
		`groups: found the name "a b", in which ' ' cannot stand; want ASCII without blanks and without any of * ? ! , " \`,
		`groups.none: found no members, want at least one person`,
		`groups.release[1]: found "carol", who has no key in allowed_signers`,
		`groups.release[2]: found "alice" twice`,
		`groups.release[3]: found "Bob", want "bob", as allowed_signers has it`,
		`groups.release[4]: no key of git may be used in the namespace "bundlesign-approval@v1"; add it to namespaces= in allowed_signers`,
		`accounts.alice.users[1]: found nothing, want a value`,
		`accounts.alice.users[3]: found "ci ", which begins or ends with a blank or has a character that cannot be seen`,
		`accounts.alice.tokens[1].issuer: found nothing, want a value`,
		`accounts.alice.tokens[1].value: found "x\u202e", which begins or ends with a blank or has a character that cannot be seen`,
		`accounts.bob.users[1]: found the user "ci", who is alice already; an account stands once, and belongs to one person`,
		`accounts.bob.tokens[0]: found "actor" = "Alice-ACME" of the issuer "github", who is alice already; an account stands once, and belongs to one person`,
		`accounts.dave: found "dave", who has no key in allowed_signers`,
		`accounts: found the name "e\n", in which '\n' cannot stand; want ASCII without blanks and without any of * ? ! , " \`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOf(t *testing.T) {
	people, err := policy.NewPeople(everybody(t, "alice", "bob", "carol"), nil, map[string]policy.Accounts{
		"alice": {Users: []string{"alice", "alice-admin"}, Tokens: []policy.TokenAccount{{Issuer: "github", Claim: "actor", Value: "alice-acme"}}},
		"bob":   {Users: []string{"bob"}, Tokens: []policy.TokenAccount{{Issuer: "github", Claim: "actor_id", Value: "12345"}}},
		"carol": {Tokens: []policy.TokenAccount{{Issuer: "github", Claim: "sub", Value: "carol"}, {Issuer: "gitlab", Claim: "actor", Value: "true"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	token := func(issuer string, claims string) policy.Identity {
		tok := &policy.Token{Issuer: issuer, Subject: "repo:acme/shop"}
		if err := json.Unmarshal([]byte(claims), &tok.Claims); err != nil {
			t.Fatal(err)
		}
		return policy.Identity{UID: 1, User: "runner", Token: tok}
	}
	numbers := token("github", `{}`)
	numbers.Token.Claims["actor_id"] = json.Number("12345")
	subject := token("github", `{}`)
	subject.Token.Subject = "carol"
	both := token("github", `{"actor": "alice-acme"}`)
	both.User = "bob"
	for name, c := range map[string]struct {
		id   policy.Identity
		want []string
	}{
		"nobody":                     {policy.Identity{}, nil},
		"user":                       {policy.Identity{User: "alice"}, []string{"alice"}},
		"other user of hers":         {policy.Identity{User: "alice-admin"}, []string{"alice"}},
		"user in other case":         {policy.Identity{User: "Alice"}, []string{"alice"}},
		"group is no user":           {policy.Identity{User: "x", Groups: []string{"alice"}}, nil},
		"claim":                      {token("github", `{"actor": "alice-acme"}`), []string{"alice"}},
		"claim in other case":        {token("github", `{"actor": "Alice-ACME"}`), []string{"alice"}},
		"claim in a list":            {token("github", `{"actor": ["x", "alice-acme"]}`), []string{"alice"}},
		"other issuer":               {token("gitlab", `{"actor": "alice-acme"}`), nil},
		"other claim":                {token("github", `{"sub": "alice-acme", "actor": null}`), nil},
		"part of the value":          {token("github", `{"actor": "alice-acme-2"}`), nil},
		"an object":                  {token("github", `{"actor": {"alice-acme": 1}}`), nil},
		"number as text":             {token("github", `{"actor_id": "12345"}`), []string{"bob"}},
		"number":                     {token("github", `{"actor_id": 12345}`), []string{"bob"}},
		"number in another form":     {token("github", `{"actor_id": 1.2345e4}`), []string{"bob"}},
		"json.Number":                {numbers, []string{"bob"}},
		"other number":               {token("github", `{"actor_id": 12346}`), nil},
		"boolean":                    {token("gitlab", `{"actor": true}`), []string{"carol"}},
		"subject":                    {subject, []string{"carol"}},
		"subject among claims":       {token("github", `{"sub": "carol"}`), []string{"carol"}},
		"user of one, token of two":  {both, []string{"alice", "bob"}},
		"two claims, different ones": {token("github", `{"actor": "alice-acme", "actor_id": 12345}`), []string{"alice", "bob"}},
	} {
		if diff := cmp.Diff(c.want, people.Of(c.id)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := new(policy.People).Of(policy.Identity{User: "alice"}); got != nil {
		t.Errorf("without people: %v", got)
	}
}

func TestEntitled(t *testing.T) {
	people, err := policy.NewPeople(everybody(t, "alice", "bob", "carol"), map[string][]string{"release": {"alice"}, "security": {"bob"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reqs := []policy.Requirement{{From: []string{"nobody", "release"}, Threshold: 1}, {From: []string{"security"}, Threshold: 1, UserVerification: true}}
	for name, want := range map[string]bool{"alice": true, "bob": true, "carol": false, "": false, "release": false} {
		if got := people.Entitled(reqs, name); got != want {
			t.Errorf("%q: got %t", name, got)
		}
	}
	if people.Entitled(nil, "alice") {
		t.Error("entitled where nobody is asked")
	}
}

// From the signature to the count: two keys are not two people, and a person with
// one key is not two by signing twice.
func TestOnePersonWithTwoKeysCountsOnce(t *testing.T) {
	first, second := policytest.NewPerson(t, "alice", policytest.Ed25519), policytest.NewPerson(t, "alice", policytest.SKECDSA)
	second.Authenticator.Flags |= policytest.UserVerified
	bob := policytest.NewPerson(t, "bob", policytest.ECDSA384)
	people, err := policy.NewPeople(policytest.AllowedSigners(first, second, bob), map[string][]string{"release": {"alice", "bob"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reqs := []policy.Requirement{{From: []string{"release"}, Threshold: 2}}
	var approvals []policy.Approval
	for _, who := range []*policytest.Person{first, second, first, bob} {
		a, err := people.Verify(policy.ApprovalNamespace, []byte(statement), who.Sign(policy.ApprovalNamespace, statement), noon)
		if err != nil {
			t.Fatal(err)
		}
		if missing := people.Missing(reqs, approvals, nil); len(missing) == 0 {
			t.Errorf("%d approvals, without one of %s, are enough", len(approvals), who.Name)
		}
		approvals = append(approvals, *a)
	}
	if missing := people.Missing(reqs, approvals, nil); missing != nil {
		t.Errorf("both have approved, and there lacks %+v", missing)
	}
	reqs[0].UserVerification, reqs[0].Threshold = true, 1
	if missing := people.Missing(reqs, approvals, nil); missing != nil {
		t.Errorf("alice's second key has verified her, and there lacks %+v", missing)
	}
}

// The files are the caller's, and may change.
func TestPeopleAreCopied(t *testing.T) {
	groups := map[string][]string{"release": {"alice"}}
	accounts := map[string]policy.Accounts{"alice": {Users: []string{"alice"}}}
	people, err := policy.NewPeople(everybody(t, "alice", "bob"), groups, accounts)
	if err != nil {
		t.Fatal(err)
	}
	groups["release"][0], accounts["alice"].Users[0] = "bob", "bob"
	delete(accounts, "alice")
	if !people.Entitled([]policy.Requirement{{From: []string{"release"}, Threshold: 1}}, "alice") || fmt.Sprint(people.Of(policy.Identity{User: "alice"})) != "[alice]" {
		t.Error("changing the caller's maps changed the people")
	}
}

func TestErrorsAreBounded(t *testing.T) {
	long := strings.Repeat("\x00x", 100000)
	_, err := policy.NewPeople([]byte(strings.ReplaceAll(long, "\x00", "a")), map[string][]string{long: {long}, "g": {long}},
		map[string]policy.Accounts{long: {}, "a": {Users: []string{long}, Tokens: []policy.TokenAccount{{Issuer: long, Claim: long, Value: long}}}})
	if err == nil || len(err.Error()) > 5000 {
		t.Errorf("got an error of %d bytes", len(err.Error()))
	}
}
