package config

import (
	"os"
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
	seed(f, "testdata/sample/policy.yaml")
	f.Add([]byte("rules: [{name: a, effect: deny, message: 'it''s \"no\"'}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFileSize {
			return
		}
		r := newReport("policy.yaml")
		p, rules := parsePolicy(r, data)
		checkPlaces(t, r, data)
		if len(r.errs) > 0 {
			return
		}
		var file PolicyFile
		decode(newReport("policy.yaml"), data, &file)
		text := render(&file, nil)
		r = newReport("rendered.yaml")
		again, rulesAgain := parsePolicy(r, text)
		if len(r.errs) > 0 {
			t.Fatalf("accepted, but not once written out:\n%v\n%s", r.errs, text)
		}
		if p.Hash() != again.Hash() || len(rules) != len(rulesAgain) {
			t.Fatalf("found policy %s of %d rules, once written out %s of %d\n%s", p.Hash(), len(rules), again.Hash(), len(rulesAgain), text)
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
		if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Msg == "" {
			t.Errorf("found the fault %q at %d:%d in %d lines, want a place in the text", e.Msg, e.Line, e.Column, lines)
		}
	}
}
