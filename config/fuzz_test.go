package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzConfig holds that no text makes the reader panic, that every fault has a
// place in the text, and that what is accepted, written out and read again is
// the same.
func FuzzConfig(f *testing.F) {
	seed(f, "testdata/sample/config.yaml", "testdata/broken.yaml")
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFileSize {
			return
		}
		r := newReport("config.yaml")
		c := Default()
		parse(r, data, c, "/etc/bundlesignd", nil)
		checkPlaces(t, r, data)
		if len(r.errs) > 0 {
			return
		}
		text := render(c, nil)
		r = newReport("rendered.yaml")
		again := Default()
		parse(r, text, again, "/elsewhere", nil)
		if len(r.errs) > 0 {
			t.Fatalf("accepted, but not once written out:\n%v\n%s", r.errs, text)
		}
		if diff := cmp.Diff(c, again, ignorePins); diff != "" {
			t.Fatalf("(-first +again)\n%s\n%s", diff, text)
		}
	})
}

// FuzzPolicyFile is [FuzzConfig] for policy.yaml.
func FuzzPolicyFile(f *testing.F) {
	seed(f, "testdata/sample/policy.yaml", "../examples/policies/two-person-team/policy.yaml",
		"../examples/policies/ci-staging/policy.yaml", "../examples/policies/bank/policy.yaml")
	f.Add([]byte("rules: [{name: a, effect: deny, message: 'it''s \"no\"'}]\n"))
	f.Add([]byte(approving))
	f.Add([]byte(strings.Replace(approving, "when: now", "when: >-\n      (now +\n      noww) \n  # ", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFileSize {
			return
		}
		r := newReport("policy.yaml")
		p, doc := parsePolicy(r, data, signersOf(t))
		checkPlaces(t, r, data)
		if len(r.errs) > 0 {
			return
		}
		var file PolicyFile
		decode(newReport("policy.yaml"), data, &file)
		text := render(&file, nil)
		r = newReport("rendered.yaml")
		again, _ := parsePolicy(r, text, signersOf(t))
		if len(r.errs) > 0 {
			t.Fatalf("accepted, but not once written out:\n%v\n%s", r.errs, text)
		}
		if p.Hash() != again.Hash() {
			t.Fatalf("found policy %s of %+v, once written out %s\n%s", p.Hash(), doc, again.Hash(), text)
		}
	})
}

func seed(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func checkPlaces(t *testing.T, r *report, data []byte) {
	t.Helper()
	lines := 1
	for _, c := range data {
		if c == '\n' {
			lines++
		}
	}
	for _, e := range r.errs {
		if e.File != r.file {
			continue // of the file with the keys of people
		}
		if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Msg == "" {
			t.Errorf("found the fault %q at %d:%d in %d lines, want a place in the text", e.Msg, e.Line, e.Column, lines)
		}
	}
}

// FuzzCaseFile holds that no file of cases makes the reader panic, and that every
// fault has a place in the text.
func FuzzCaseFile(f *testing.F) {
	seed(f, "testdata/sample/cases.yaml", "../examples/policies/bank/cases/emergency.yaml",
		"../examples/policies/ci-staging/cases/production.yaml")
	f.Add([]byte("cases: [{requester: {token: {claims: {a: [1, {b: .nan}], c: ~}}}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFileSize {
			return
		}
		r := newReport("cases.yaml")
		cases := parseCases(r, data)
		checkPlaces(t, r, data)
		for i := range cases {
			if q := cases[i].PolicyRequest(); q.Time.IsZero() || q.App == "" || q.Requester.User == "" {
				t.Errorf("found %+v in an accepted case, want what every request has", q)
			}
		}
	})
}
