package ci

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// fakeGitLab is a project whose pipelines gitlab-ci-local runs on this machine. It
// knows no ID tokens, nor what is protected: the test makes the token that GitLab would.
type fakeGitLab struct {
	*daemon
	dir string
	app []byte
}

func newFakeGitLab(t *testing.T) *fakeGitLab {
	t.Helper()
	g := &fakeGitLab{daemon: startDaemon(t, "gitlab"), dir: t.TempDir(), app: webApp(t)}
	write(t, filepath.Join(g.dir, ".gitlab-ci.yml"), replace(t, read(t, "gitlab/.gitlab-ci.yml"),
		"/run/bundlesignd/bundlesignd.sock", g.socket, "/etc/bundlesign/acme-shop.pub.pem", g.pem))
	write(t, filepath.Join(g.dir, "site.zip"), string(g.app))
	write(t, filepath.Join(g.dir, "package.json"), `{"name": "shop", "version": "1.4.0", "scripts": {"build": "cp site.zip app.zip"}}`)
	write(t, filepath.Join(g.dir, "package-lock.json"), `{"name": "shop", "version": "1.4.0", "lockfileVersion": 3, "packages": {"": {"name": "shop", "version": "1.4.0"}}}`)
	write(t, filepath.Join(g.dir, ".gitignore"), ".gitlab-ci-local\n")
	git := func(args ...string) { command(t, g.dir, nil, "git", args...) }
	git("init", "-q")
	git("remote", "add", "origin", "git@gitlab.com:acme/shop.git")
	git("add", ".")
	git("commit", "-q", "-m", "the app")
	git("update-ref", "refs/remotes/origin/main", "HEAD")
	git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	return g
}

// token is what GitLab would give to a job, with pairs of names and values changed.
func (g *fakeGitLab) token(t *testing.T, refType, ref, environment string, changes ...string) string {
	t.Helper()
	claims := g.issuer.Claims(time.Now())
	maps.Copy(claims, map[string]any{
		"iss": "https://gitlab.com", "aud": audience, "sub": "project_path:acme/shop:ref_type:" + refType + ":ref:" + ref,
		"project_path": "acme/shop", "project_id": "4242", "ref": ref, "ref_type": refType, "ref_protected": "true",
		"environment": environment, "user_id": "1001", "user_login": "alice",
	})
	for i := 0; i < len(changes); i += 2 {
		claims[changes[i]] = changes[i+1]
	}
	return g.issuer.Token(t, claims)
}

// pipeline runs jobs, all that are not manual if none is named, with an ID token.
func (g *fakeGitLab) pipeline(t *testing.T, token, tag string, jobs ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	args := []string{programs.gitlabRun, "--home", dir, "--no-color", "--no-shell-isolation", "--variable", "CI_PIPELINE_IID=7", "--ignore-predefined-vars", "CI_PIPELINE_IID,CI_COMMIT_TAG"}
	if tag != "" {
		args = append(args, "--variable", "CI_COMMIT_TAG="+tag)
	}
	// Not among the arguments, where the real GitLab does not have it either.
	write(t, filepath.Join(dir, ".gitlab-ci-local/variables.yml"), "global:\n  BUNDLESIGN_ID_TOKEN: "+token+"\n")
	out, code := try(t, g.dir, nil, programs.node, append(args, jobs...)...)
	if strings.Contains(out, token) {
		t.Errorf("the token is in the log:\n%s", out)
	}
	return out, code
}

// A push to main is built, signed, and what comes out is what a phone accepts.
func TestGitLabSignsMain(t *testing.T) {
	t.Parallel()
	g := newFakeGitLab(t)
	out, code := g.pipeline(t, g.token(t, "branch", "main", "staging"), "")
	if code != 0 || !strings.Contains(out, "PASS  staging") {
		t.Fatalf("the pipeline ended with code %d:\n%s", code, out)
	}
	g.accepts(t, filepath.Join(g.dir, "app.zip_encrypted.zip"), filepath.Join(g.dir, "result.json"), g.app)
}

// A tag is submitted by one job, and fetched by another one when somebody else than who
// pushed it has agreed. Each job has a token of its own.
func TestGitLabTagNeedsAnotherPerson(t *testing.T) {
	t.Parallel()
	g := newFakeGitLab(t)
	command(t, g.dir, nil, "git", "tag", "v1.4.0")
	out, code := g.pipeline(t, g.token(t, "tag", "v1.4.0", "production"), "v1.4.0")
	if code != 0 || !strings.Contains(out, "WARN  submit") {
		t.Fatalf("want the pipeline to end with a warning, found code %d:\n%s", code, out)
	}
	// Too early.
	if out, code := g.pipeline(t, g.token(t, "tag", "v1.4.0", "production"), "v1.4.0", "production"); code == 0 {
		t.Errorf("nobody agreed, and it was signed:\n%s", out)
	}
	id := g.pending(t)
	if g.approve(t, "alice", id) {
		t.Error("Alice started the pipeline, and her approval counted")
	}
	if !g.approve(t, "bob", id) {
		t.Error("Bob's approval did not count")
	}
	if out, code := g.pipeline(t, g.token(t, "tag", "v1.4.0", "production"), "v1.4.0", "production"); code != 0 {
		t.Fatalf("the job ended with code %d:\n%s", code, out)
	}
	var result struct{ RequestID string }
	if err := json.Unmarshal([]byte(read(t, filepath.Join(g.dir, "result.json"))), &result); err != nil || result.RequestID != id {
		t.Errorf("found the request %q, %v, want %s", result.RequestID, err, id)
	}
	g.accepts(t, filepath.Join(g.dir, "app.zip_encrypted.zip"), filepath.Join(g.dir, "result.json"), g.app)
}

func TestGitLabDeniesOthers(t *testing.T) {
	t.Parallel()
	g := newFakeGitLab(t)
	if out, code := g.pipeline(t, "none", "", "build"); code != 0 {
		t.Fatal(out)
	}
	for name, c := range map[string]struct{ token, want string }{
		"a fork":             {g.token(t, "branch", "main", "staging", "project_id", "6666"), "releases come from acme/shop"},
		"a token for others": {g.token(t, "branch", "main", "staging", "aud", "https://else.example"), "bundlesign: token refused"},
		"another GitLab":     {g.token(t, "branch", "main", "staging", "iss", "https://gitlab.else.example"), "bundlesign: token refused"},
	} {
		out, code := g.pipeline(t, c.token, "", "staging")
		if code == 0 || !strings.Contains(out, "FAIL  staging") || !strings.Contains(out, c.want) || exists(filepath.Join(g.dir, "app.zip_encrypted.zip")) {
			t.Errorf("%s: want it denied, found code %d:\n%s", name, code, out)
		}
	}
}

// The pipeline asks for tokens for what the daemon takes, in the jobs that sign, and
// nowhere else; and these run nothing of the repository.
func TestGitLabTokensOnlyWhereSigned(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "gitlab/.gitlab-ci.yml")), &doc); err != nil {
		t.Fatal(err)
	}
	for name, value := range doc {
		job, ok := value.(map[string]any)
		if !ok || name == "variables" {
			continue
		}
		_, hasToken := job["id_tokens"]
		if hasToken != (name == ".sign") {
			t.Errorf("job %s has id_tokens: %t", name, hasToken)
		}
		if scripts, ok := job["script"].([]any); ok && job["extends"] == ".sign" {
			if len(scripts) != 1 || !strings.HasPrefix(scripts[0].(string), "bundlesign sign app.zip ") {
				t.Errorf("job %s has a token, and runs %q", name, scripts)
			}
		}
	}
	var issuers struct {
		TokenIssuers []struct{ Issuer, Audience string } `yaml:"token_issuers"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "gitlab/token_issuers.yaml")), &issuers); err != nil {
		t.Fatal(err)
	}
	if want := "aud: " + issuers.TokenIssuers[0].Audience + "\n"; !strings.Contains(read(t, "gitlab/.gitlab-ci.yml"), want) {
		t.Errorf("the pipeline does not have %q", want)
	}
}
