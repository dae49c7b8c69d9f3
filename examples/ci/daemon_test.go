package ci

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
)

// appID is the app of all recipes.
const appID = "com.acme.shop"

// patience is after what time a test is sure that what it waits for will not come.
const patience = 2 * time.Minute

// daemon is a running bundlesignd with the policy and the token_issuers of a recipe.
type daemon struct {
	socket string
	pem    string // the file with the app's public key, which a recipe pins
	keys   string // the folder with the SSH keys of people
	issuer *idtokentest.Issuer
}

// startDaemon runs the daemon with the configuration in a recipe's folder until the
// test ends. What differs from what a user copies: the people have keys of the test,
// the issuer's keys come from a file, and each pair of edits replaces a text in the
// policy, such as the name of the runner's user.
func startDaemon(t *testing.T, recipe string, edits ...string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs") // short: a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &daemon{socket: filepath.Join(dir, "sock"), pem: filepath.Join(dir, "app.pub.pem"), keys: t.TempDir()}

	config := filepath.Join(dir, "config")
	command(t, dir, nil, "bundlesignd", "init", "--dir", config, "--socket", d.socket, "--state-dir", filepath.Join(dir, "state"),
		"--app", appID, "--origin", "ci.example/bundlesign")
	if issuers, err := os.ReadFile(filepath.Join(recipe, "token_issuers.yaml")); err == nil {
		d.issuer = idtokentest.New(t)
		text := replace(t, string(issuers), "\n    audience:", fmt.Sprintf("\n    jwks_file: %q\n    audience:", d.issuer.JWKSFile(t)))
		path := filepath.Join(config, "config.yaml")
		write(t, path, replace(t, read(t, path), "\nlog:\n", "\n"+text+"\nlog:\n"))
	}
	write(t, filepath.Join(config, "policy.yaml"), replace(t, read(t, filepath.Join(recipe, "policy.yaml")), edits...))
	d.makePeople(t, recipe, config)

	check, code := try(t, dir, nil, "bundlesignd", "config", "check", "--config", filepath.Join(config, "config.yaml"))
	for line := range strings.Lines(check) {
		if code != 0 || strings.Contains(line, "warning:") && !strings.Contains(line, "on this machine") {
			t.Fatalf("bundlesignd config check says:\n%s", check)
		}
	}
	var log bytes.Buffer
	serve := exec.Command(filepath.Join(programs.bin, "bundlesignd"), "serve", "--config", filepath.Join(config, "config.yaml"))
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stuck := time.AfterFunc(time.Minute, func() { _ = serve.Process.Kill() })
		defer stuck.Stop()
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("bundlesignd serve: %v", err)
		}
		if strings.Contains(log.String(), "eyJ") {
			t.Error("the daemon's log shows a part of a token")
		}
		if t.Failed() {
			t.Logf("bundlesignd said:\n%s", log.String())
		}
	})
	d.bundlesign(t, "status", "--wait", patience.String())
	write(t, d.pem, d.bundlesign(t, "keys", "--pem"))
	return d
}

// makePeople gives each person of the recipe's allowed_signers an SSH key.
func (d *daemon) makePeople(t *testing.T, recipe, config string) {
	t.Helper()
	signers, err := os.ReadFile(filepath.Join(recipe, "allowed_signers"))
	if os.IsNotExist(err) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	var made strings.Builder
	for line := range strings.Lines(string(signers)) {
		name, options, ok := strings.Cut(line, " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		options, _, _ = strings.Cut(options, " ")
		command(t, d.keys, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
		fmt.Fprintf(&made, "%s %s %s", name, options, read(t, filepath.Join(d.keys, name+".pub")))
	}
	write(t, filepath.Join(config, "allowed_signers"), made.String())
}

// bundlesign runs the client as people do, outside of any job, and returns its stdout.
func (d *daemon) bundlesign(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, d.keys, nil, "bundlesign", append([]string{"--socket", d.socket}, args...)...)
}

// approve has a person approve a request, and returns whether the approval counted.
func (d *daemon) approve(t *testing.T, person, request string) bool {
	t.Helper()
	out, code := try(t, d.keys, nil, "bundlesign", "--socket", d.socket, "approve", request, "--key", person, "--yes")
	if code != 0 && code != 3 {
		t.Fatalf("bundlesign approve ended with code %d:\n%s", code, out)
	}
	return code == 0
}

// pending waits until a request waits for approvals, and returns its id.
func (d *daemon) pending(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := exec.CommandContext(ctx, filepath.Join(programs.bin, "bundlesign"), "--socket", d.socket, "requests", "--watch", "--json")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}()
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatalf("nothing became pending: %v", err)
		}
		var r struct{ ID, State string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("requests --watch printed %q: %v", line, err)
		}
		if r.State == "pending" {
			return r.ID
		}
	}
}

// accepts holds an encrypted bundle against the key that the app carries, as a phone
// does, and against what was built.
func (d *daemon) accepts(t *testing.T, encrypted, result string, plain []byte) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plain.zip")
	command(t, ".", nil, "bundlesign", "verify", encrypted, "--result", result, "--public-key", d.pem, "--output", out)
	if read(t, out) != string(plain) {
		t.Error("the encrypted bundle is another than the one that was built")
	}
}
