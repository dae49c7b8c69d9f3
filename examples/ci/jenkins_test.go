package ci

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/client"
)

// fakeJenkins runs the stages of the recipe's Jenkinsfile. Each agent has a workspace of
// its own. A step "sh" is a file that is run by "sh -xe", as Jenkins' durable-task does.
type fakeJenkins struct {
	*daemon
	stages   []stage
	app      []byte
	root     string
	archived string
}

func newFakeJenkins(t *testing.T) *fakeJenkins {
	t.Helper()
	j := &fakeJenkins{daemon: startDaemon(t, "jenkins", "[jenkins-sign]", "["+programs.user+"]"), app: webApp(t), root: t.TempDir()}
	j.archived = filepath.Join(j.root, "archived")
	var err error
	j.stages, err = parseJenkinsfile(replace(t, read(t, "jenkins/Jenkinsfile"), "/etc/bundlesign/acme-shop.pub.pem", j.pem))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// build runs the stages whose conditions hold, and returns what they printed, and the
// exit code of the step that failed, or 0.
func (j *fakeJenkins) build(t *testing.T, tag string) (log string, code int) {
	t.Helper()
	env := []string{"BUILD_NUMBER=7", "BUILD_URL=https://jenkins.acme.example/job/shop/7/", "BUNDLESIGN_SOCKET=" + j.socket}
	if tag != "" {
		env = append(env, "TAG_NAME="+tag)
	} else {
		env = append(env, "BRANCH_NAME=main")
	}
	for _, s := range j.stages {
		if s.when == "branch 'main'" && tag != "" || s.when == "buildingTag()" && tag == "" {
			continue
		}
		workspace := filepath.Join(j.root, s.label)
		if err := os.MkdirAll(workspace, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, step := range s.steps {
			out, failed := j.step(t, step, workspace, env)
			if log += out; failed != 0 {
				return log, failed
			}
		}
	}
	return log, 0
}

func (j *fakeJenkins) step(t *testing.T, s step, workspace string, env []string) (log string, code int) {
	t.Helper()
	stash := filepath.Join(j.root, "stash.zip")
	switch s.name {
	case "deleteDir":
		if err := os.RemoveAll(workspace); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(workspace, 0o755); err != nil {
			t.Fatal(err)
		}
	case "checkout":
		write(t, filepath.Join(workspace, "site.zip"), string(j.app))
		write(t, filepath.Join(workspace, "package.json"), `{"name": "shop", "version": "1.4.0", "scripts": {"build": "cp site.zip app.zip"}}`)
		write(t, filepath.Join(workspace, "package-lock.json"), `{"name": "shop", "version": "1.4.0", "lockfileVersion": 3, "packages": {"": {"name": "shop", "version": "1.4.0"}}}`)
	case "stash":
		write(t, stash, read(t, filepath.Join(workspace, "app.zip")))
	case "unstash":
		write(t, filepath.Join(workspace, "app.zip"), read(t, stash))
	case "archiveArtifacts":
		for _, name := range strings.Split(s.text, ", ") {
			write(t, filepath.Join(j.archived, name), read(t, filepath.Join(workspace, name)))
		}
	case "sh":
		script := filepath.Join(t.TempDir(), "script.sh")
		write(t, script, s.text)
		return try(t, workspace, env, "sh", "-xe", script)
	default:
		t.Fatalf("a step %q is not run by anything", s.name)
	}
	return "", 0
}

func TestJenkinsSignsMain(t *testing.T) {
	t.Parallel()
	j := newFakeJenkins(t)
	if log, code := j.build(t, ""); code != 0 {
		t.Fatalf("the build ended with code %d:\n%s", code, log)
	}
	j.accepts(t, filepath.Join(j.archived, "app.zip_encrypted.zip"), filepath.Join(j.archived, "result.json"), j.app)
}

// A tag waits for two people: who started the build is not known.
func TestJenkinsTagNeedsTwoPeople(t *testing.T) {
	t.Parallel()
	j := newFakeJenkins(t)
	type result struct {
		log  string
		code int
	}
	done := make(chan result, 1)
	go func() {
		defer close(done)
		log, code := j.build(t, "v1.4.0")
		done <- result{log, code}
	}()
	id := j.pending(t)
	for _, person := range []string{"alice", "carol"} {
		if j.exists(t, "app.zip_encrypted.zip") {
			t.Errorf("signed before %s agreed", person)
		}
		if !j.approve(t, person, id) {
			t.Errorf("the approval of %s did not count", person)
		}
	}
	if r, ok := <-done; !ok || r.code != 0 {
		t.Fatalf("the build ended with code %d:\n%s", r.code, r.log)
	}
	j.accepts(t, filepath.Join(j.archived, "app.zip_encrypted.zip"), filepath.Join(j.archived, "result.json"), j.app)
}

func (j *fakeJenkins) exists(t *testing.T, artifact string) bool {
	t.Helper()
	return exists(filepath.Join(j.archived, artifact))
}

// Another user than that of the agent gets nothing.
func TestJenkinsDeniesOtherUsers(t *testing.T) {
	t.Parallel()
	j := &fakeJenkins{daemon: startDaemon(t, "jenkins"), app: webApp(t), root: t.TempDir()} // for jenkins-sign alone
	stages, err := parseJenkinsfile(replace(t, read(t, "jenkins/Jenkinsfile"), "/etc/bundlesign/acme-shop.pub.pem", j.pem))
	if err != nil {
		t.Fatal(err)
	}
	j.stages = stages
	if log, code := j.build(t, ""); code != 3 || !strings.Contains(log, "releases come from the Jenkins agent that signs") {
		t.Errorf("want it denied, found code %d:\n%s", code, log)
	}
}

// The agent that builds never signs, and the one that signs runs bundlesign and nothing
// else: docs/ci.md says so.
func TestJenkinsSignsOnAnotherAgent(t *testing.T) {
	t.Parallel()
	stages, err := parseJenkinsfile(read(t, "jenkins/Jenkinsfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stages {
		for _, step := range s.steps {
			if step.name != "sh" {
				continue
			}
			commands := strings.Split(strings.TrimSpace(step.text), "\n")
			signs := len(commands) == 1 && strings.HasPrefix(strings.TrimSpace(commands[0]), "bundlesign sign app.zip ")
			if signs != (s.label == "bundlesign") {
				t.Errorf("stage %s runs %q on the agent %q", s.name, step.text, s.label)
			}
		}
	}
}

// docs/ci.md says that tokens of Jenkins' plugin oidc-provider are refused, because they
// have no jti and the plugin lets nobody add one.
func TestTokensOfJenkinsAreRefused(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "github")
	claims := d.issuer.Claims(time.Now())
	maps.Copy(claims, map[string]any{
		"iss": githubIssuer, "aud": idtokentest.Audience, "sub": "https://jenkins.acme.example/job/shop/", "build_number": "7",
	})
	delete(claims, "jti")
	delete(claims, "nbf")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app.zip"), string(webApp(t)))
	token := d.issuer.Token(t, claims)
	if err := client.CheckToken(token); err != nil {
		t.Fatal(err)
	}
	out, code := try(t, dir, []string{"BUNDLESIGN_ID_TOKEN=" + token}, "bundlesign", "--socket", d.socket,
		"sign", "app.zip", "--app", appID, "--channel", "staging", "--version", "1.0.0")
	if code != 3 || !strings.Contains(out, "jti") {
		t.Errorf("want the token refused because of its jti, found code %d:\n%s", code, out)
	}
}
