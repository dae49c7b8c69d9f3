package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
)

const approvingPolicy = `rules:
  - name: release
    effect: approve
    approvals: [{from: [release], threshold: 1}]
people:
  allowed_signers: people/keys
  groups: {release: [alice, bob]}
  accounts: {alice: {users: [alice]}, bob: {}}
`

// withPeople is a good configuration whose policy names people.
func withPeople(t *testing.T) folder {
	f := newFolder(t)
	f.mkdir("people", 0o755)
	keys, err := os.ReadFile("testdata/allowed_signers")
	if err != nil {
		t.Fatal(err)
	}
	f.write("people/keys", string(keys), 0o644)
	f.write("policy.yaml", approvingPolicy, 0o644)
	return f
}

func (f folder) loadPolicy(opts config.Options) (*policy.Policy, []string) {
	p, warnings, err := config.LoadPolicy(f.at("policy.yaml"), opts)
	return p, f.found(warnings, err)
}

// found lists findings, with the path of the folder cut to DIR.
func (f folder) found(warnings []config.Warning, err error) []string {
	var list []string
	var errs config.Errors
	if errors.As(err, &errs) {
		for _, e := range errs {
			list = append(list, strings.ReplaceAll(e.Error(), f.path, "DIR"))
		}
	}
	for _, w := range warnings {
		list = append(list, strings.ReplaceAll(w.String(), f.path, "DIR"))
	}
	return list
}

// The file with the keys of people is found beside policy.yaml, wherever that is.
func TestAllowedSignersBesideThePolicy(t *testing.T) {
	f := withPeople(t)
	if p, found := f.loadPolicy(config.Options{}); p == nil || len(found) > 0 {
		t.Errorf("found %v, %q, want a policy", p, found)
	}
	f.mkdir("rules", 0o755)
	f.rename("policy.yaml", "rules/policy.yaml")
	f.rename("people", "rules/people")
	f.write("config.yaml", goodConfig+"policy: rules/policy.yaml\n", 0o644)
	if c, found := f.load(config.Options{}); c == nil || len(found) > 0 || c.PolicyRules != 1 {
		t.Errorf("found %v, %q, want a configuration", c, found)
	}
}

// A reload reads the keys of people again, and their change is another policy.
func TestKeysOfPeopleAreOfThePolicy(t *testing.T) {
	f := withPeople(t)
	before, _ := f.loadPolicy(config.Options{})
	keys, err := os.ReadFile(f.at("people/keys"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("people/keys", strings.Replace(string(keys), "alice namespaces", `alice valid-before="20300101Z",namespaces`, 1), 0o644)
	after, found := f.loadPolicy(config.Options{})
	if before == nil || after == nil || before.Hash() == after.Hash() {
		t.Errorf("found %v and %v (%q), want two different policies", before, after, found)
	}
}

func TestFaultsOfAllowedSigners(t *testing.T) {
	for name, c := range map[string]struct {
		change func(folder)
		want   string // of the only finding
	}{
		"not there": {
			func(f folder) { f.rename("people/keys", "people/other") },
			"DIR/policy.yaml:6:20: people.allowed_signers: found no file DIR/people/keys",
		},
		"writable by others": {
			func(f folder) { f.chmod("people/keys", 0o666) },
			"DIR/policy.yaml:6:20: people.allowed_signers: found DIR/people/keys writable by its group and others (mode 0666), want it writable by its owner alone: chmod go-w DIR/people/keys",
		},
		"in a folder that others write": {
			func(f folder) { f.chmod("people", 0o777) },
			"DIR/policy.yaml:6:20: people.allowed_signers: found DIR/people writable by its group and others (mode 0777), want it writable by its owner alone: chmod go-w DIR/people",
		},
		"a line that is wrong": {
			func(f folder) {
				keys, err := os.ReadFile(f.at("people/keys"))
				if err != nil {
					f.t.Fatal(err)
				}
				f.write("people/keys", string(keys)+"\n# a comment\nmallory cert-authority ssh-ed25519 AAAA\n", 0o644)
			},
			"DIR/people/keys:8:9: ",
		},
		"empty": {
			func(f folder) { f.write("people/keys", "", 0o644) },
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := withPeople(t)
			c.change(f)
			p, found := f.loadPolicy(config.Options{})
			_, foundByAll := f.load(config.Options{})
			if diff := cmp.Diff(found, foundByAll); diff != "" {
				t.Errorf("LoadPolicy and Load find different faults (-policy +all)\n%s", diff)
			}
			if p != nil || len(found) == 0 || !strings.HasPrefix(found[0], c.want) || c.want != "" && len(found) != 1 {
				t.Errorf("found %v, %q, want no policy and %q", p, found, c.want)
			}
		})
	}
}

// A draft is read whoever could write it, and without keys beside it.
func TestDraft(t *testing.T) {
	f := withPeople(t)
	for _, name := range []string{"policy.yaml", "people/keys", "config.yaml"} {
		f.chmod(name, 0o666)
	}
	f.rename("k.pub.pem", "elsewhere")
	f.rename("log.key", "elsewhere.key")
	if p, found := f.loadPolicy(config.Options{Draft: true}); p == nil || len(found) > 0 {
		t.Errorf("LoadPolicy: found %v, %q, want a policy", p, found)
	}
	p, warnings, err := config.LoadPolicyOf(f.at("config.yaml"), config.Options{Draft: true})
	if p == nil || err != nil || len(warnings) > 0 {
		t.Errorf("LoadPolicyOf: found %v, %v, %v, want a policy", p, warnings, err)
	}
	if _, _, err = config.LoadPolicyOf(f.at("config.yaml"), config.Options{}); err == nil {
		t.Error("LoadPolicyOf believes files that others can write, want them refused unless they are a draft")
	}
	f.write("config.yaml", "keys: 1\n", 0o644)
	if p, _, err = config.LoadPolicyOf(f.at("config.yaml"), config.Options{Draft: true}); p != nil || err == nil {
		t.Errorf("LoadPolicyOf: found %v, %v, want the faults of config.yaml", p, err)
	}
}

// Rules and accounts speak of issuers that there are: else nobody would notice that
// a rule matches nobody, or that a person is not known by their login.
func TestPolicySpeaksOfConfiguredIssuers(t *testing.T) {
	f := withPeople(t)
	f.write("policy.yaml", strings.NewReplacer("    effect", "    tokens: [github, \"git*\", gitlab]\n    effect",
		"bob: {}", "bob: {tokens: [{issuer: gitlab, claim: user_login, value: bob}]}").Replace(approvingPolicy), 0o644)
	if p, found := f.loadPolicy(config.Options{}); p == nil || len(found) > 0 {
		t.Errorf("LoadPolicy: found %v, %q, want a policy: it knows no issuers", p, found)
	}
	const issuer = "token_issuers:\n- {name: %, issuer: 'https://ci.example.com', audience: us}\n"
	for name, want := range map[string][]string{
		"github": {
			`DIR/policy.yaml:3:30: rules[0].tokens[2]: found "gitlab", which is none of token_issuers of config.yaml; it has github`,
			`DIR/policy.yaml:9:63: people.accounts.bob.tokens[0].issuer: found "gitlab", which is none of token_issuers of config.yaml; it has github`,
		},
		"gitlab": {
			`DIR/policy.yaml:3:14: rules[0].tokens[0]: found "github", which is none of token_issuers of config.yaml; it has gitlab`,
		},
		"": {
			`DIR/policy.yaml:3:14: rules[0].tokens[0]: found "github", which is none of token_issuers of config.yaml; it has none`,
			`DIR/policy.yaml:3:22: rules[0].tokens[1]: found "git*", which is none of token_issuers of config.yaml; it has none`,
			`DIR/policy.yaml:3:30: rules[0].tokens[2]: found "gitlab", which is none of token_issuers of config.yaml; it has none`,
			`DIR/policy.yaml:9:63: people.accounts.bob.tokens[0].issuer: found "gitlab", which is none of token_issuers of config.yaml; it has none`,
		},
	} {
		text := goodConfig
		if name != "" {
			text += strings.Replace(issuer, "%", name, 1)
		}
		f.write("config.yaml", text, 0o644)
		_, found := f.load(config.Options{})
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("with issuer %q (-want +found)\n%s", name, diff)
		}
		_, warnings, err := config.LoadPolicyOf(f.at("config.yaml"), config.Options{Draft: true})
		if diff := cmp.Diff(want, f.found(warnings, err)); diff != "" {
			t.Errorf("LoadPolicyOf, with issuer %q (-want +found)\n%s", name, diff)
		}
	}
	f.write("config.yaml", goodConfig+"token_issuers: gitlab\n", 0o644)
	if _, found := f.load(config.Options{}); len(found) != 1 || !strings.Contains(found[0], "config.yaml:8:16: token_issuers: ") {
		t.Errorf("found %q, want the fault of config.yaml alone", found)
	}
}
