package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/policy"
)

func TestCasesSayEverything(t *testing.T) {
	r := newReport("cases.yaml")
	cases := parseCases(r, []byte(`
time: 2026-03-02T12:00:00Z
cases:
  - name: all of it
    time: 2026-03-03T12:00:00+01:00
    request:
      app: com.acme.shop
      channel: production
      version: 1.5.0
      digest: aa
      files: 3
      key: k
      also: [k2, k3]
      labels: {ticket: "42"}
      break_glass: on fire
    requester:
      user: ci
      uid: 7
      groups: [runners]
      unit: runner.service
      token:
        issuer: github
        subject: repo:a/b
        claims: {run: 12.5, ok: true, none: null, aud: [x, 1], nested: {a: b}}
    last: {version: 1.4.0, digest: bb, time: 2026-01-01T00:00:00Z}
    approved_by: [alice]
    signed: {recent: 4}
    expect: {effect: approve, rule: r, reason: because, missing: [{from: [g], count: 1}]}
  - name: little
    request: {app: com.acme.shop, channel: x, version: 1.0.0}
    requester: {user: ci}
    expect: {effect: deny}
`))
	if len(r.errs) > 0 {
		t.Fatalf("found %v, want nothing wrong", r.errs)
	}
	at := time.Date(2026, 3, 3, 11, 0, 0, 0, time.UTC)
	want := policy.Request{
		App: "com.acme.shop", Channel: "production", Version: "1.5.0", Digest: "aa", Files: 3, Key: "k", Also: []string{"k2", "k3"},
		Labels: map[string]string{"ticket": "42"}, BreakGlass: "on fire", Time: at,
		Requester: policy.Identity{
			UID: 7, GID: 7, User: "ci", Groups: []string{"runners"}, Unit: "runner.service",
			Token: &policy.Token{Issuer: "github", Subject: "repo:a/b", Expires: at.Add(time.Minute), Claims: map[string]any{
				"run": 12.5, "ok": true, "none": nil, "aud": []any{"x", 1.0}, "nested": map[string]any{"a": "b"},
			}},
		},
		Last: policy.Release{Request: "last", Version: "1.4.0", Digest: "bb", Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	if diff := cmp.Diff(want, cases[0].PolicyRequest()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	expect := Expectation{Effect: policy.Approve, Rule: "r", Reason: "because", Missing: []CaseMissing{{From: []string{"g"}, Count: 1}}}
	if diff := cmp.Diff(expect, cases[0].Expect); diff != "" || cases[0].Signed.Recent != 4 || len(cases[0].ApprovedBy) != 1 {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// An ordinary user without a token, at the time of the file, with nothing before.
	want = policy.Request{
		App: "com.acme.shop", Channel: "x", Version: "1.0.0", Time: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		Requester: policy.Identity{UID: 1000, GID: 1000, User: "ci"},
	}
	if diff := cmp.Diff(want, cases[1].PolicyRequest()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if cases[1].File != "cases.yaml" || cases[1].Line != 29 {
		t.Errorf("found the case at %s:%d, want it where its name is, at cases.yaml:29", cases[1].File, cases[1].Line)
	}
}

func TestCasesThatAreWrong(t *testing.T) {
	const small = "  request: {app: com.acme.shop, channel: x, version: 1.0.0}\n  requester: {user: ci}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no cases": {"cases: []\n", []string{`cases.yaml:1:8: cases: found 0 entries, want 1 to 1000`}},
		"no time": {
			"cases:\n- name: a\n" + small + "  expect: {effect: deny}\n",
			[]string{`cases.yaml:2:3: cases[0].time: missing, want it here or once for the whole file`},
		},
		"a date alone": {
			"time: 2026-03-02\ncases:\n- name: a\n" + small + "  expect: {effect: deny}\n",
			[]string{`cases.yaml:1:7: time: found "2026-03-02", want a time such as 2026-03-02T12:00:00Z`},
		},
		"two of one name": {
			"time: 2026-03-02T12:00:00Z\ncases:\n- name: a\n" + small + "  expect: {effect: deny}\n- name: a\n" + small + "  expect: {effect: deny}\n",
			[]string{`cases.yaml:7:9: cases[1].name: found "a", which cases[0] has already; names are unique`},
		},
		"an expectation that cannot be": {
			"time: 2026-03-02T12:00:00Z\ncases:\n- name: a\n" + small + "  expect: {effect: deny, missing: [{from: [x], count: 1}]}\n",
			[]string{`cases.yaml:6:35: cases[0].expect.missing: found what lacks for effect "deny", want it for "approve" only`},
		},
		"a misspelled field": {
			"time: 2026-03-02T12:00:00Z\ncases:\n- name: a\n" + small + "  expect: {efect: deny}\n",
			[]string{`cases.yaml:6:12: cases[0].expect.efect: unknown field; did you mean effect?`},
		},
		"no JSON": {
			"time: 2026-03-02T12:00:00Z\ncases:\n- name: a\n  request: {app: com.acme.shop, channel: x, version: 1.0.0}\n  requester: {user: ci, token: {issuer: a, claims: {n: .inf}}}\n  expect: {effect: deny}\n",
			[]string{`cases.yaml:5:56: cases[0].requester.token.claims.n: found the number .inf, want a value that JSON has`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReport("cases.yaml")
			if cases := parseCases(r, []byte(c.text)); cases != nil {
				t.Errorf("found %+v, want none", cases)
			}
			if diff := cmp.Diff(c.want, findings(r)); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
		})
	}
}

func TestLoadCases(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadCases(dir); err == nil || !strings.Contains(err.Error(), "found no file that ends in .yaml") {
		t.Errorf("found %v, want an empty folder refused: nothing would be tested", err)
	}
	if _, err := LoadCases(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("found nothing wrong with a folder that is not there")
	}
	const text = "time: 2026-03-02T12:00:00Z\ncases:\n- name: a\n  request: {app: a.b, channel: x, version: 1.0.0}\n  requester: {user: ci}\n  expect: {effect: deny}\n"
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"b.yaml": text, "a.yml": text, "below/c.yaml": text, "README.md": "no cases"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cases, err := LoadCases(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, c := range cases {
		files = append(files, strings.TrimPrefix(c.File, dir+"/"))
	}
	if diff := cmp.Diff([]string{"a.yml", "b.yaml", "below/c.yaml"}, files); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// One bad file is enough: cases that are not run would seem to pass.
	if err := os.WriteFile(filepath.Join(dir, "below", "d.yaml"), []byte("case: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if cases, err := LoadCases(dir); err == nil || len(cases) > 0 {
		t.Errorf("found %d cases and %v, want the fault of the one file", len(cases), err)
	}
}
