package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/config"
)

// operatorOf types "bundlesignd key" commands for the configuration in dir.
type operatorOf struct {
	t   *testing.T
	dir string
	env []string // more of it
}

// key runs a "key" command.
func (o operatorOf) key(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	return o.run(append([]string{"key"}, args...)...)
}

// run runs a command and returns how it ended. Nobody sits at a terminal.
func (o operatorOf) run(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	cmd := bundlesignd(append(args, "--config", filepath.Join(o.dir, "config.yaml"))...)
	cmd.Env = append(cmd.Env, o.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// does runs a command that must succeed.
func (o operatorOf) does(args ...string) (stdout string) {
	o.t.Helper()
	code, stdout, stderr := o.key(args...)
	if code != 0 {
		o.t.Fatalf("key %q: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// fails runs a command that must fail so.
func (o operatorOf) fails(code int, want string, args ...string) {
	o.t.Helper()
	got, stdout, stderr := o.key(args...)
	if got != code || !strings.Contains(stderr, want) {
		o.t.Errorf("key %q: exit code %d, want %d; stderr\n%s(stdout %q), want in it %q", args, got, code, stderr, stdout, want)
	}
}

// operations returns what the log has about operations on keys, as the state has
// it: the daemon must be stopped.
func (o operatorOf) operations() (out []*audit.Leaf) {
	o.t.Helper()
	cfg, _, err := config.Load(filepath.Join(o.dir, "config.yaml"), config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		o.t.Fatal(err)
	}
	state, err := openState(o.t.Context(), cfg, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	defer state.store.Close()
	msg, err := state.store.Log().Checkpoint(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	_, tree, err := audit.ReadCheckpoint(msg)
	if err != nil {
		o.t.Fatal(err)
	}
	raw, err := state.store.Log().Entries(o.t.Context(), 0, tree.N)
	if err != nil {
		o.t.Fatal(err)
	}
	for i, b := range raw {
		l, err := audit.DecodeLeaf(b)
		if err != nil {
			o.t.Fatalf("entry %d: %v", i, err)
		}
		if l.Type == audit.LeafKey {
			out = append(out, l)
		}
	}
	return out
}

// said is an operation in a few words, for comparing.
func said(l *audit.Leaf) string {
	return fmt.Sprintf("%s %s %s", l.Operation.Action, l.Operation.Phase, l.Key)
}

// wantOperations compares what the log has.
func (o operatorOf) wantOperations(want ...string) []*audit.Leaf {
	o.t.Helper()
	leaves := o.operations()
	var got []string
	for _, l := range leaves {
		got = append(got, said(l))
		if l.Requester == nil || int(l.Requester.UID) != os.Getuid() {
			o.t.Errorf("%s: it does not say who: %+v", said(l), l.Requester)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		o.t.Errorf("the log has %q, want %q", got, want)
	}
	return leaves
}

// paste puts what create or import printed for config.yaml into it, in place of
// the keys that are there.
func paste(t *testing.T, dir, printed string) {
	t.Helper()
	_, entry, found := strings.Cut(printed, "For config.yaml:\n\n")
	if !found {
		t.Fatalf("nothing to paste in:\n%s", printed)
	}
	entry, _, _ = strings.Cut(entry, "\n\n")
	path := filepath.Join(dir, "config.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), "\nkeys:\n")
	if !found {
		t.Fatalf("no keys in:\n%s", data)
	}
	// The list ends with the next line that is not indented.
	lines := strings.SplitAfter(rest, "\n")
	for len(lines) > 0 && (strings.HasPrefix(lines[0], " ") || strings.TrimSpace(lines[0]) == "") {
		lines = lines[1:]
	}
	text := before + "\n" + entry + "\n\n" + strings.Join(lines, "")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// publicKey reads a public key as an app carries it.
func publicKey(t *testing.T, path string) *capgo.PublicKey {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := capgo.ParsePublicKeyPEM(data)
	if err != nil {
		t.Fatal(err)
	}
	if key.PEM() != string(data) {
		t.Errorf("%s is not the public key to the byte:\n%s", path, data)
	}
	return key
}

// signs has a daemon sign a bundle and verifies that as an app with this key does.
func (d *process) signs(public *capgo.PublicKey, n int) *wire.Signature {
	d.t.Helper()
	sig, err := d.client.SubmitAndWait(d.t.Context(), bundle(n), "")
	if err != nil {
		d.t.Fatalf("%v\n%s", err, d.log)
	}
	digest, err := capgo.ParseDigest(sig.Digest)
	if err != nil {
		d.t.Fatal(err)
	}
	signature, format, err := capgo.ParseChecksum(sig.Checksum)
	if err != nil {
		d.t.Fatal(err)
	}
	payload, err := capgo.ChecksumPayload(digest, format)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := public.Verify(payload, signature); err != nil {
		d.t.Error(err)
	}
	return sig
}

// newFile is the URI of a key file that is not there yet, and a name for its
// public half.
func newFile(dir string) (uri, out string) {
	return file.URI(filepath.Join(dir, "new.key.pem")), filepath.Join(dir, "new.pub.pem")
}

// refuses checks that nothing is signed, for the reason that an operator gave.
func (d *process) refuses(reason string) {
	d.t.Helper()
	_, err := submitOnce(d.t.(*testing.T), d.client, 2)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemKeyUnusable || !strings.Contains(p.Detail, reason) {
		d.t.Errorf("got %v, want that the key is disabled because %s", err, reason)
	}
}
