package ci

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	audience     = "https://bundlesign.example.com"
	// The refs that the workflows of the recipe name.
	actionRef   = "bundlesign/bundlesign@0000000000000000000000000000000000000000"
	uploadRef   = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
	downloadRef = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
)

// fakeGitHub plays what a job needs of GitHub: it gives ID tokens to who shows the
// job's request token, and keeps artifacts in a folder.
type fakeGitHub struct {
	*daemon
	t         *testing.T
	url       string
	artifacts string
	app       []byte // what the build builds

	mu     sync.Mutex
	claims map[string]any // of the tokens that it gives
	tokens []string       // those that it gave
}

// requestToken is the secret with which a job asks for its ID token.
const requestToken = "request-token-of-the-job"

func newFakeGitHub(t *testing.T) *fakeGitHub {
	t.Helper()
	g := &fakeGitHub{daemon: startDaemon(t, "github"), t: t, artifacts: t.TempDir(), app: webApp(t)}
	server := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	g.url = server.URL + "/idtoken?api-version=2.0"
	return g
}

// serve answers as GitHub's "reference" for OIDC says: GET with the request token and
// an audience, answered with {"value": token}.
func (g *fakeGitHub) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "bearer "+requestToken || q.Get("api-version") != "2.0" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	claims := g.issuer.Claims(time.Now())
	maps.Copy(claims, g.claims)
	claims["iss"], claims["aud"] = githubIssuer, q.Get("audience")
	token := g.issuer.Token(g.t, claims)
	g.tokens = append(g.tokens, token)
	_ = json.NewEncoder(w).Encode(map[string]any{"count": len(token), "value": token})
}

// job is the claims of a job of the recipe's workflow, as GitHub makes them, with
// pairs of names and values changed.
func (g *fakeGitHub) job(ref, environment, actorID string, changes ...string) {
	claims := map[string]any{
		"sub":              "repo:acme/shop:environment:" + environment,
		"repository":       "acme/shop",
		"repository_id":    "123456789",
		"ref":              ref,
		"environment":      environment,
		"actor_id":         actorID,
		"job_workflow_ref": "acme/shop/.github/workflows/sign.yml@refs/heads/main",
	}
	for i := 0; i < len(changes); i += 2 {
		claims[changes[i]] = changes[i+1]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims = claims
}

// repository makes a clone of acme/shop with these workflows, and ends at a tag or main.
func (g *fakeGitHub) repository(tag string, workflows map[string]string) string {
	t := g.t
	t.Helper()
	dir := t.TempDir()
	for name, text := range workflows {
		write(t, filepath.Join(dir, ".github/workflows", name), text)
	}
	write(t, filepath.Join(dir, "site.zip"), string(g.app))
	write(t, filepath.Join(dir, "package.json"), `{"name": "shop", "version": "1.4.0", "scripts": {"build": "cp site.zip app.zip"}}`)
	write(t, filepath.Join(dir, "package-lock.json"), `{"name": "shop", "version": "1.4.0", "lockfileVersion": 3, "packages": {"": {"name": "shop", "version": "1.4.0"}}}`)
	git := func(args ...string) { command(t, dir, nil, "git", args...) }
	git("init", "-q")
	git("remote", "add", "origin", "https://github.com/acme/shop")
	git("add", ".")
	git("commit", "-q", "-m", "the app")
	if tag != "" {
		git("tag", tag)
	}
	return dir
}

// workflows are those of the recipe, but for where this machine has the daemon.
func (g *fakeGitHub) workflows() map[string]string {
	return map[string]string{
		"release.yml": read(g.t, "github/release.yml"),
		"sign.yml": replace(g.t, read(g.t, "github/sign.yml"),
			"public-key: /etc/bundlesign/acme-shop.pub.pem\n", "public-key: "+g.pem+"\n          socket: "+g.socket+"\n"),
	}
}

// outcome is what a run of act left.
type outcome struct {
	log  string
	ok   bool
	temp string // the folder where the runner had its files
	spy  string // what others could see of the programs that were run
}

// push runs the workflows for a push of ref, on this machine.
func (g *fakeGitHub) push(repository, ref string, env ...string) outcome {
	t := g.t
	t.Helper()
	out := outcome{temp: t.TempDir()}
	event := filepath.Join(out.temp, "event.json")
	write(t, event, `{"ref": "`+ref+`"}`)
	bundlesign := filepath.Join(out.temp, "bundlesign") // as much of the repository as the action needs
	for _, name := range []string{"action.yml", "sign"} {
		path := filepath.Join(bundlesign, "examples/ci/github/action", name)
		write(t, path, read(t, filepath.Join("github/action", name)))
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fakes, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	spy := filepath.Join(out.temp, "spy")
	write(t, filepath.Join(spy, "bundlesign"), read(t, "testdata/spy"))
	if err := os.Chmod(filepath.Join(spy, "bundlesign"), 0o755); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(spy, "notes")

	args := []string{
		"push", "--eventpath", event, "--action-cache-path", filepath.Join(out.temp, "cache"),
		// Nothing comes from a network, and nothing runs in a container.
		"--action-offline-mode", "--no-cache-server", "--pull=false",
		"-P", "ubuntu-latest=-self-hosted", "-P", "self-hosted=-self-hosted", "-P", "bundlesign=-self-hosted",
		"--local-repository", actionRef + "=" + bundlesign,
		"--local-repository", "acme/shop@main=" + repository,
		"--local-repository", uploadRef + "=" + filepath.Join(fakes, "fakeupload"),
		"--local-repository", downloadRef + "=" + filepath.Join(fakes, "fakedownload"),
	}
	for _, v := range append(env, "FAKE_ARTIFACTS="+g.artifacts, "SPY_NOTES="+notes, "SPY_BUNDLESIGN="+filepath.Join(programs.bin, "bundlesign")) {
		args = append(args, "--env", v)
	}
	text, code := try(t, repository, []string{"PATH=" + spy + string(os.PathListSeparator) + searchPath()}, programs.act, args...)
	out.log, out.ok = text, code == 0
	if data, err := os.ReadFile(notes); err == nil {
		out.spy = string(data)
	}
	return out
}

// idTokenEnv is what the runner gives to jobs with permissions: {id-token: write}.
func (g *fakeGitHub) idTokenEnv() []string {
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + g.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + requestToken}
}

// nothingLeaks holds every place where a token must not be against those that were given.
func (g *fakeGitHub) nothingLeaks(o outcome) {
	t := g.t
	t.Helper()
	g.mu.Lock()
	secrets := append([]string{requestToken}, g.tokens...)
	g.mu.Unlock()
	for i, secret := range secrets {
		if strings.Contains(o.log, secret) {
			t.Errorf("secret %d is in the log:\n%s", i, o.log)
		}
		if strings.Contains(o.spy, secret) {
			t.Errorf("secret %d is in the arguments or the environment of bundlesign", i)
		}
	}
	err := filepath.WalkDir(o.temp, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data := read(t, path)
		for i, secret := range secrets[1:] {
			if strings.Contains(data, secret) {
				t.Errorf("token %d is in the file %s", i, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
