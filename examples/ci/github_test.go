package ci

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A push to main is built, signed as the job of that workflow, and what comes out is
// what a phone accepts. The token is nowhere to be found.
func TestGitHubSignsMain(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	g.job("refs/heads/main", "staging", "1001")
	o := g.push(g.repository("", g.workflows()), "refs/heads/main", g.idTokenEnv()...)
	if !o.ok {
		t.Fatalf("the workflow failed:\n%s", o.log)
	}
	if !strings.Contains(o.log, "notice title=bundlesign%3A signed::com.acme.shop 0.0.0-main.1 for staging, request ") {
		t.Errorf("found no notice of the signature in:\n%s", o.log)
	}
	signed := filepath.Join(g.artifacts, "signed")
	results, err := filepath.Glob(filepath.Join(signed, "bundlesign-*.json"))
	if err != nil || len(results) != 1 {
		t.Fatalf("found the results %q, %v, want one", results, err)
	}
	g.accepts(t, filepath.Join(signed, "app.zip_encrypted.zip"), results[0], g.app)
	if len(g.tokens) != 1 || o.spy == "" {
		t.Fatalf("found %d tokens and the notes %q", len(g.tokens), o.spy)
	}
	g.nothingLeaks(o)
}

// A tag waits until somebody else than who pushed it agrees.
func TestGitHubTagNeedsAnotherPerson(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	g.job("refs/tags/v1.4.0", "production", "1001") // Alice
	repository := g.repository("v1.4.0", g.workflows())
	done := make(chan outcome, 1)
	go func() {
		defer close(done)
		done <- g.push(repository, "refs/tags/v1.4.0", g.idTokenEnv()...)
	}()
	id := g.pending(t)
	if g.approve(t, "alice", id) {
		t.Error("Alice started the workflow, and her approval counted")
	}
	if !g.approve(t, "bob", id) {
		t.Error("Bob's approval did not count")
	}
	o := <-done
	if !o.ok || !strings.Contains(o.log, "com.acme.shop 1.4.0 for production, request "+id) {
		t.Errorf("the workflow did not end in a signature:\n%s", o.log)
	}
	g.nothingLeaks(o)
}

// One job asks and does not wait, and a later one fetches what became of it, each with a
// token of its own.
func TestGitHubFetchesLater(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	g.job("refs/tags/v1.4.0", "production", "1001")
	job := func(args string) outcome {
		text := g.actionJob(map[string]string{"channel": "production", "version": "1.4.0", "args": args})
		return g.push(g.repository("v1.4.0", map[string]string{"job.yml": text}), "refs/tags/v1.4.0", g.idTokenEnv()...)
	}
	asked := job("--no-wait")
	id := g.pending(t)
	if asked.ok || !strings.Contains(asked.log, "exit code 4 file [] request "+id) {
		t.Fatalf("want it to end with code 4 and the request %s:\n%s", id, asked.log)
	}
	if !g.approve(t, "bob", id) {
		t.Error("Bob's approval did not count")
	}
	fetched := job("--resume=" + id)
	if !fetched.ok || !strings.Contains(fetched.log, "exit code 0 file [app.zip_encrypted.zip] request "+id) {
		t.Errorf("want request %s signed:\n%s", id, fetched.log)
	}
	g.nothingLeaks(fetched)
}

// Jobs that are not those of the policy are denied, with its message as annotation.
func TestGitHubDeniesOthers(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	n := 0
	for name, changes := range map[string][]string{
		"another repository":             {"repository_id", "99", "repository", "acme/website"},
		"one that took the name":         {"repository_id", "99"},
		"a branch":                       {"ref", "refs/heads/evil"},
		"a pull request":                 {"ref", "refs/pull/12/merge"},
		"a workflow changed in a branch": {"job_workflow_ref", "acme/shop/.github/workflows/sign.yml@refs/heads/evil"},
		"another workflow of the same":   {"job_workflow_ref", "acme/shop/.github/workflows/test.yml@refs/heads/main"},
		"a fork with its own sign.yml":   {"job_workflow_ref", "mallory/shop/.github/workflows/sign.yml@refs/heads/main", "repository_id", "666"},
	} {
		g.job("refs/heads/main", "staging", "1001", changes...)
		n++ // a denial holds for the same request of the same subject
		job := g.actionJob(map[string]string{"version": fmt.Sprintf("0.0.0-main.%d", n)})
		o := g.push(g.repository("", map[string]string{"job.yml": job}), "refs/heads/main", g.idTokenEnv()...)
		if o.ok || !strings.Contains(o.log, `error title=bundlesign%3A denied::denied: rule "otherwise" denies it: releases come from the workflow sign.yml of acme/shop`) {
			t.Errorf("%s: want it denied, with an annotation:\n%s", name, o.log)
		}
		g.nothingLeaks(o)
	}
}

// What goes wrong is told in an annotation, with the exit code of bundlesign as output.
func TestGitHubTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	for name, c := range map[string]struct {
		with map[string]string
		env  []string
		want string
		code string
	}{
		"no id-token permission":   {env: []string{}, want: "error title=bundlesign%3A the action cannot run::the job may not ask for an ID token"},
		"a wrong request token":    {env: []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + g.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN=old"}, want: "GitHub gave no ID token"},
		"an audience of others":    {with: map[string]string{"audience": "https://else.example"}, want: "error title=bundlesign%3A denied::", code: "3"},
		"no daemon":                {with: map[string]string{"socket": g.socket + "x", "wait": "1s"}, want: "error title=bundlesign%3A the daemon is unavailable::", code: "5"},
		"still pending":            {with: map[string]string{"channel": "production", "version": "1.4.0", "args": "--no-wait"}, want: "warning title=bundlesign%3A still waits for approvals::", code: "4"},
		"no bundle":                {with: map[string]string{"bundle": "none.zip"}, want: "error title=bundlesign%3A bad input::", code: "2"},
		"a key of somebody else":   {with: map[string]string{"public-key": otherKey(t)}, want: "error title=bundlesign%3A NOT TO BE TRUSTED, tell security::", code: "6"},
		"an input that is missing": {with: map[string]string{"app": ""}, want: "the input app is empty"},
		"two lines in an input":    {with: map[string]string{"app": `"com.acme.shop\n::warning::x"`}, want: "the input app has a control character"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with["channel"] == "production" {
				g.job("refs/tags/v1.4.0", "production", "1001")
			} else {
				g.job("refs/heads/main", "staging", "1001")
			}
			if c.env == nil {
				c.env = g.idTokenEnv()
			}
			o := g.push(g.repository("", map[string]string{"job.yml": g.actionJob(c.with)}), "refs/heads/main", c.env...)
			if o.ok || !strings.Contains(o.log, c.want) {
				t.Errorf("want it to fail with %q:\n%s", c.want, o.log)
			}
			if c.code != "" && !strings.Contains(o.log, "exit code "+c.code+" file []") {
				t.Errorf("want the output exit-code %s, and no encrypted-file:\n%s", c.code, o.log)
			}
			g.nothingLeaks(o)
		})
	}
}

// Inputs are data: nothing in them is run, expanded or split, and no text of theirs
// becomes a command to the runner.
func TestGitHubInputsAreData(t *testing.T) {
	t.Parallel()
	g := newFakeGitHub(t)
	g.job("refs/heads/main", "staging", "1001")
	const evil = "x$(touch pwned)`touch pwned`\";touch pwned;\"';touch pwned;' --help"
	script, err := filepath.Abs("github/action/sign")
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range []string{"app", "channel", "version", "bundle", "public-key", "audience", "socket", "output", "wait", "args"} {
		// The script alone, as the action runs it.
		dir := t.TempDir()
		write(t, filepath.Join(dir, "app.zip"), string(g.app))
		env := append(
			g.idTokenEnv(), "RUNNER_TEMP="+dir, "GITHUB_OUTPUT="+filepath.Join(dir, "output"),
			"GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=acme/shop", "GITHUB_RUN_ID=1", "GITHUB_SHA=0123")
		with := g.with(map[string]string{input: evil})
		if input == "socket" {
			with["wait"] = "1s" // nobody is there
		}
		for name, value := range with {
			env = append(env, "SIGN_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
		}
		out, code := try(t, dir, env, script)
		if exists(filepath.Join(dir, "pwned")) {
			t.Errorf("%s was run:\n%s", input, out)
		}
		if taken := code == 0; taken != (input == "output") {
			t.Errorf("%s: found exit code %d:\n%s", input, code, out)
		}
		if input == "output" && !exists(filepath.Join(dir, evil)) {
			t.Errorf("the output was not written as it is called:\n%s", out)
		}
	}
}

// Nothing of an input, an output or the event is ever put into a script.
func TestGitHubScriptsHaveNoExpressions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github/action/action.yml", "github/release.yml", "github/sign.yml"} {
		var doc any
		if err := yaml.Unmarshal([]byte(read(t, name)), &doc); err != nil {
			t.Fatal(err)
		}
		found := 0
		walkRuns(doc, func(script string) {
			found++
			if strings.Contains(script, "${{") {
				t.Errorf("%s has an expression in a script: %s", name, script)
			}
		})
		if found == 0 && name != "github/sign.yml" {
			t.Errorf("found no scripts in %s", name)
		}
	}
}

func walkRuns(node any, visit func(string)) {
	switch n := node.(type) {
	case map[string]any:
		for key, value := range n {
			if script, ok := value.(string); ok && key == "run" {
				visit(script)
			}
			walkRuns(value, visit)
		}
	case []any:
		for _, value := range n {
			walkRuns(value, visit)
		}
	}
}

// with is inputs of the action that work, with some changed.
func (g *fakeGitHub) with(changes map[string]string) map[string]string {
	with := map[string]string{
		"bundle": "app.zip", "app": appID, "channel": "staging", "version": "0.0.0-main.1", "wait": "10m", "output": "", "args": "",
		"public-key": g.pem, "audience": audience, "socket": g.socket,
	}
	maps.Copy(with, changes)
	return with
}

// actionJob is a workflow that uses the action by itself, and shows its outputs.
func (g *fakeGitHub) actionJob(changes map[string]string) string {
	with := g.with(changes)
	var inputs strings.Builder
	for _, name := range slices.Sorted(maps.Keys(with)) {
		value := with[name]
		if !strings.HasPrefix(value, `"`) {
			value = `"` + value + `"`
		}
		fmt.Fprintf(&inputs, "          %s: %s\n", name, value)
	}
	return `
on: push
jobs:
  sign:
    runs-on: self-hosted
    permissions: {id-token: write}
    steps:
      - uses: actions/checkout@v7
      - run: cp site.zip app.zip
      - id: sign
        uses: bundlesign/bundlesign/examples/ci/github/action@0000000000000000000000000000000000000000
        with:
` + inputs.String() + `
      - if: always()
        env:
          CODE: ${{ steps.sign.outputs.exit-code }}
          FILE: ${{ steps.sign.outputs.encrypted-file }}
          REQUEST: ${{ steps.sign.outputs.request-id }}
        run: echo "exit code $CODE file [$FILE] request $REQUEST"
`
}

// otherKey is a file with a key that is nobody's.
func otherKey(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, dir, nil, "openssl", "genrsa", "-traditional", "-out", "key.pem", "2048")
	command(t, dir, nil, "openssl", "rsa", "-in", "key.pem", "-RSAPublicKey_out", "-out", "pub.pem")
	return filepath.Join(dir, "pub.pem")
}
