package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
)

const examples = "../../examples/policies"

func policyGuide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The policies that docs/policy.md starts from are those that are tested.
func TestPolicyGuideShowsTheExamples(t *testing.T) {
	blocks := regexp.MustCompile("(?s)<!-- (examples/policies/[a-z-]+/policy.yaml) -->\n```yaml\n(.*?)```").FindAllStringSubmatch(policyGuide(t), -1)
	var shown []string
	for _, b := range blocks {
		shown = append(shown, filepath.Dir(filepath.Join("../..", b[1])))
		file, err := os.ReadFile(filepath.Join("../..", b[1]))
		if err != nil {
			t.Fatal(err)
		}
		if string(file) != b[2] {
			t.Errorf("docs/policy.md shows another text than %s", b[1])
		}
	}
	folders, err := filepath.Glob(examples + "/*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(shown)
	if len(folders) != 3 || !slices.Equal(folders, shown) {
		t.Errorf("docs/policy.md shows %q, want each of %q", shown, folders)
	}
}

// Every example has nothing to warn of, says what its cases expect, and each of its
// rules decides one of them.
func TestPolicyExamples(t *testing.T) {
	folders, err := filepath.Glob(examples + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range folders {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			path := filepath.Join(dir, "policy.yaml")
			p, warnings, err := config.LoadPolicy(path, config.Options{Draft: true})
			if err != nil || len(warnings) > 0 {
				t.Fatalf("found %v, %v, want nothing wrong", err, warnings)
			}
			cases, err := config.LoadCases(filepath.Join(dir, "cases"))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := testPolicy(&out, p, cases); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			decided := map[string]bool{}
			for i := range cases {
				v, err := judge(p, cases[i].PolicyRequest(), nil, cases[i].Signed.Recent)
				if err != nil {
					t.Fatal(err)
				}
				decided[v.Rule] = true
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range regexp.MustCompile(`(?m)^  - name: (\S+)$`).FindAllStringSubmatch(string(text), -1) {
				if !decided[name[1]] {
					t.Errorf("rule %q decides no case", name[1])
				}
			}
		})
	}
}

// The table of variables names what conditions know.
func TestPolicyGuideKnowsTheVariables(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `(request|peer|token|last)` \\| ([^|]*) \\|").FindAllStringSubmatch(policyGuide(t), -1)
	if len(rows) != 4 {
		t.Fatalf("found %d variables with fields, want 4", len(rows))
	}
	for _, row := range rows {
		for _, field := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
			when := "dyn(" + row[1] + "." + field[1] + ") == dyn(1)"
			if _, err := policy.New([]policy.Rule{{Name: "a", Effect: policy.Deny, When: when}}); err != nil {
				t.Errorf("%s.%s is in the table: %v", row[1], field[1], err)
			}
		}
	}
	for _, when := range []string{`has(claims.environment)`, `"ticket" in labels`, `now.getHours("Europe/Zurich") == 1`, `newer(request.version, "1.0.0")`, `has(token.issuer)`, `has(last.version)`} {
		if !strings.Contains(policyGuide(t), strings.TrimSuffix(when, " == 1")) && !strings.Contains(when, "newer") {
			t.Errorf("the guide does not have %s", when)
		}
		if _, err := policy.New([]policy.Rule{{Name: "a", Effect: policy.Deny, When: when}}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// What the guide shows of "policy explain" is what it prints, and it names all flags
// of a request that are not plain.
func TestPolicyGuideShowsExplain(t *testing.T) {
	code, stdout, stderr := runHere(t, "policy", "explain", "--policy", examples+"/two-person-team/policy.yaml",
		"--app", "com.acme.shop", "--channel", "production", "--version", "1.5.0", "--user", "alice", "--group", "developers")
	stdout = regexp.MustCompile(`sha256:[0-9a-f]+`).ReplaceAllString(stdout, "sha256:...")
	guide := policyGuide(t)
	if code != exitOK || stderr != "" || !strings.Contains(guide, "\n"+stdout+"```") {
		t.Errorf("exit code %d; want in docs/policy.md:\n%s%s", code, stdout, stderr)
	}
	known := map[string]bool{}
	newPolicyExplainCommand().Flags().VisitAll(func(f *pflag.Flag) {
		known["--"+f.Name] = true
		plain := []string{"app", "channel", "version", "digest", "files", "key", "user", "uid", "group", "unit", "config", "last-digest"}
		if !slices.Contains(plain, f.Name) && !strings.Contains(guide, "--"+f.Name) {
			t.Errorf("docs/policy.md does not mention --%s", f.Name)
		}
	})
	_, section, _ := strings.Cut(guide, "says of one request what each rule thinks of it:")
	section, _, _ = strings.Cut(section, "# Reference")
	for _, flag := range regexp.MustCompile("--[a-z-]+").FindAllString(section, -1) {
		if !known[flag] {
			t.Errorf("%s is mentioned, but policy explain does not have it", flag)
		}
	}
}
