package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/file"
)

func TestKeyOfAFileIsMadeAndUsed(t *testing.T) {
	dir := initialized(t)
	o := operatorOf{t: t, dir: dir}
	uri, out := newFile(dir)
	printed := o.does("create", uri, "--name", "acme-new", "--app", "com.acme.shop", "--out", out, "--reason", "the first", "--yes")
	public := publicKey(t, out)
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the public key is %v, %v, want it readable by everybody", info.Mode(), err)
	}
	for _, want := range []string{uri, public.KeyID(), public.Fingerprint(), public.PEM(), "software (file)"} {
		if !strings.Contains(printed, want) {
			t.Errorf("found no %q in:\n%s", want, printed)
		}
	}
	leaves := o.wantOperations("create begun acme-new", "create done acme-new")
	if done := leaves[1]; done.KeyFingerprint != public.Fingerprint() || done.Operation.URI != uri || done.Reason != "the first" ||
		done.Operation.Begun == nil || *done.Operation.Begun != 0 || !strings.Contains(fmt.Sprint(done.Custody), "software") {
		t.Errorf("the entry is %+v, %+v", done, done.Operation)
	}
	paste(t, dir, printed)
	d := startDaemon(t, dir)
	d.signs(public, 1)
	if pem := o.does("public", "acme-new"); pem != public.PEM() {
		t.Errorf("public printed %q", pem)
	}
}

// The commands do the same through a daemon that runs and on the state of one that
// is stopped.
func TestKeyIsSwitchedOffAndOn(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon running %t", running), func(t *testing.T) {
			dir := initialized(t)
			o := operatorOf{t: t, dir: dir}
			public := publicKey(t, filepath.Join(dir, "acme-shop.pub.pem"))
			var d *process
			if running {
				d = startDaemon(t, dir)
				d.signs(public, 1)
			}
			o.fails(2, "--reason: found nothing", "disable", "acme-shop", "--yes")
			o.fails(2, "--reason: found a control character", "disable", "acme-shop", "--yes", "--reason", "a\nb")
			o.fails(2, "found no terminal to ask on", "disable", "acme-shop", "--reason", "x")
			o.fails(2, `there is no key "other" in the configuration, which has acme-shop`, "disable", "other", "--yes", "--reason", "x")
			o.fails(1, "is not disabled", "enable", "acme-shop", "--yes", "--reason", "x")

			o.does("disable", "acme-shop", "--yes", "--reason", "a runner was broken into")
			if shown := o.does("show", "acme-shop"); !strings.Contains(shown, "disabled") || !strings.Contains(shown, "a runner was broken into") {
				t.Errorf("show does not say it:\n%s", shown)
			}
			o.fails(1, "not every key is well", "check", "acme-shop", "--yes")
			if running {
				d.refuses("a runner was broken into") // at once
				d.stop()
			}
			d = startDaemon(t, dir)
			d.refuses("a runner was broken into") // and after a start
			if !running {
				d.stop()
			}
			o.does("enable", "acme-shop", "--yes", "--reason", "it was another one")
			if !running {
				d = startDaemon(t, dir)
			}
			d.signs(public, 2)
			d.stop()
			leaves := o.wantOperations("disable done acme-shop", "enable done acme-shop")
			if leaves[0].Reason != "a runner was broken into" || leaves[1].Reason != "it was another one" {
				t.Errorf("the reasons are %q and %q", leaves[0].Reason, leaves[1].Reason)
			}
		})
	}
}

func TestKeyCheck(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon running %t", running), func(t *testing.T) {
			dir := initialized(t)
			o := operatorOf{t: t, dir: dir}
			var d *process
			if running {
				d = startDaemon(t, dir)
				d.usable()
			}
			if out := o.does("check", "acme-shop", "--yes"); !strings.HasPrefix(out, "acme-shop  ok  ") || !strings.Contains(out, " ms  software") {
				t.Errorf("it printed %q", out)
			}
			var report checkReport
			if err := json.Unmarshal([]byte(o.does("check", "--all", "--yes", "--json")), &report); err != nil {
				t.Fatal(err)
			}
			if !report.OK || len(report.Checks) != 1 || report.Checks[0].Key.Name != "acme-shop" || report.Checks[0].TookSeconds <= 0 {
				t.Errorf("it printed %+v", report)
			}
			// The key goes away, and comes back as another.
			private := filepath.Join(dir, "acme-shop.key.pem")
			if err := os.Remove(private); err != nil {
				t.Fatal(err)
			}
			o.fails(1, "not every key is well", "check", "acme-shop", "--yes")
			if _, err := file.Create(private); err != nil {
				t.Fatal(err)
			}
			code, out, _ := o.key("check", "--all", "--yes", "--json")
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatal(err)
			}
			if c := report.Checks[0]; code != 1 || report.OK || c.OK || c.Key.State != "unusable" || !strings.Contains(c.Key.Detail, "its public key is SHA256:") {
				t.Errorf("exit code %d, %s, want another key to be unusable", code, out)
			}
			o.fails(1, "its public key is SHA256:", "public", "acme-shop")
			if running {
				d.stop()
			}
			o.wantOperations("check begun acme-shop", "check done acme-shop", "check begun acme-shop", "check done acme-shop",
				"check begun acme-shop", "check failed acme-shop", "check begun acme-shop", "check failed acme-shop")
		})
	}
	o := operatorOf{t: t, dir: initialized(t)}
	o.fails(2, "found 0 names", "check", "--yes")
	o.fails(2, "found 1 names", "check", "acme-shop", "--all", "--yes")
	o.fails(2, "found no terminal", "check", "acme-shop")
	o.wantOperations()
}

func TestKeyIsShown(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon running %t", running), func(t *testing.T) {
			dir := initialized(t)
			o := operatorOf{t: t, dir: dir}
			public := publicKey(t, filepath.Join(dir, "acme-shop.pub.pem"))
			state := "unchecked"
			if running {
				startDaemon(t, dir).usable()
				state = "ok"
			}
			var list wire.KeyList
			if err := json.Unmarshal([]byte(o.does("list", "--json")), &list); err != nil {
				t.Fatal(err)
			}
			var k wire.Key
			if err := json.Unmarshal([]byte(o.does("show", "acme-shop", "--json")), &k); err != nil {
				t.Fatal(err)
			}
			for _, k := range append(list.Keys, k) {
				if k.Name != "acme-shop" || k.State != state || k.PublicKey != public.PEM() || k.Custody == nil || k.Custody.Level != "software" {
					t.Errorf("found %+v", k)
				}
			}
			if out := o.does("list"); !strings.Contains(out, "NAME ") || !strings.Contains(out, "acme-shop  "+state) || !strings.Contains(out, public.KeyID()) {
				t.Errorf("list printed\n%s", out)
			}
			if out := o.does("show", "acme-shop"); !strings.Contains(out, public.PEM()) || !strings.Contains(out, "readable by its owner only") || !strings.Contains(out, public.Fingerprint()) {
				t.Errorf("show printed\n%s", out)
			}
			o.fails(2, `there is no key "other"`, "show", "other")
			o.fails(2, `there is no key "other"`, "public", "other")
			if out := o.does("public", "acme-shop"); out != public.PEM() {
				t.Errorf("public printed %q", out)
			}
		})
	}
}

func TestKeyIsAttested(t *testing.T) {
	dir := initialized(t)
	o := operatorOf{t: t, dir: dir}
	out := filepath.Join(dir, "evidence")
	o.does("attest", "acme-shop", "--out", out, "--yes")
	data, err := os.ReadFile(filepath.Join(out, "evidence.json"))
	if err != nil {
		t.Fatal(err)
	}
	var a attestation
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	public := publicKey(t, filepath.Join(dir, "acme-shop.pub.pem"))
	if a.Name != "acme-shop" || a.Fingerprint != public.Fingerprint() || a.Custody.Level != "software" || !strings.HasPrefix(a.Log, "example.com/test+") || a.LogEntry != 0 {
		t.Errorf("evidence.json is %s", data)
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v, want one file and no other", entries, err)
	}
	o.fails(2, "want an empty folder or none", "attest", "acme-shop", "--out", out, "--yes")
	o.fails(2, "--out: found nothing", "attest", "acme-shop", "--yes")
	if err := os.Remove(filepath.Join(dir, "acme-shop.key.pem")); err != nil {
		t.Fatal(err)
	}
	o.fails(1, "no such file", "attest", "acme-shop", "--out", filepath.Join(dir, "other"), "--yes")
	if _, err := os.Stat(filepath.Join(dir, "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an attestation that failed left something: %v", err)
	}
	leaves := o.wantOperations("attest begun acme-shop", "attest done acme-shop", "attest begun acme-shop", "attest failed acme-shop")
	if leaves[1].KeyFingerprint != public.Fingerprint() || leaves[3].Reason == "" {
		t.Errorf("the entries are %+v and %+v", leaves[1], leaves[3])
	}
}

func TestKeyMakingRefuses(t *testing.T) {
	dir := initialized(t)
	o := operatorOf{t: t, dir: dir}
	uri, out := newFile(dir)
	existing := file.URI(filepath.Join(dir, "acme-shop.key.pem"))
	open := filepath.Join(dir, "open.pem")
	if err := exec.Command("openssl", "genrsa", "-traditional", "-out", open, "2048").Run(); err != nil {
		t.Fatalf("openssl must be installed: %v", err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // as the official CLI leaves it
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked.pem")
	if err := exec.Command("openssl", "rsa", "-aes128", "-traditional", "-passout", "pass:secret", "-in", open, "-out", locked).Run(); err != nil {
		t.Fatal(err)
	}
	const pin = "pin-that-is-secret"
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "accepts 1 arg", []string{"create"}},
		{2, "--name: found", []string{"create", uri, "--app", "com.acme.shop", "--yes"}},
		{2, "--name: found", []string{"create", uri, "--name", "Acme", "--app", "com.acme.shop", "--yes"}},
		{2, "--app: ", []string{"create", uri, "--name", "a", "--yes"}},
		{2, "--app: ", []string{"create", uri, "--name", "a", "--app", "com.*", "--yes"}},
		{2, "--out: there is something at", []string{"create", uri, "--name", "a", "--app", "com.acme.shop", "--out", filepath.Join(dir, "config.yaml"), "--yes"}},
		{2, "--out: ", []string{"create", uri, "--name", "a", "--app", "com.acme.shop", "--out", "/nowhere/x", "--yes"}},
		{2, "pkcs11 URI: ", []string{"create", "pkcs11:token=t;object=o?module-path=/m.so&pin-value=" + pin, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "no URI scheme", []string{"create", pin, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "found no terminal to ask on", []string{"create", uri, "--name", "a", "--app", "com.acme.shop", "--out", out}},
		{1, "a key is never overwritten", []string{"create", existing, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "--from: found nothing", []string{"import", uri, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "no such file", []string{"import", uri, "--from", "/nowhere/x", "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "run chmod 0600", []string{"import", uri, "--from", open, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{2, "openssl rsa", []string{"import", uri, "--from", locked, "--name", "a", "--app", "com.acme.shop", "--yes"}},
		{1, "it is in one already", []string{"import", uri, "--from", filepath.Join(dir, "acme-shop.key.pem"), "--name", "a", "--app", "com.acme.shop", "--yes"}},
	} {
		o.fails(c.code, c.want, c.args...)
		_, stdout, stderr := o.key(c.args...)
		if strings.Contains(stdout+stderr, pin) {
			t.Errorf("%q: the PIN is shown:\n%s%s", c.args, stdout, stderr)
		}
	}
	for _, path := range []string{strings.TrimPrefix(uri, "file:"), out} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want nothing there", path, err)
		}
	}

	// Where keys in files are not allowed, none is made.
	strict := initialized(t, "--key-uri", "pkcs11:object=o?module-path=/m.so&pin-source=/p", "--public-key", filepath.Join(dir, "acme-shop.pub.pem"))
	operatorOf{t: t, dir: strict}.fails(2, "allow_software_keys: true", "create", uri, "--name", "a", "--app", "com.acme.shop", "--yes")
	o.wantOperations()
}

// A daemon that answers and has another log is not the daemon that is meant: the
// backend is not touched.
func TestKeyIsNotMadeUnlogged(t *testing.T) {
	dir, other := initialized(t), initialized(t)
	startDaemon(t, other)
	uri, _ := newFile(dir)
	edit(t, dir, "path: bundlesignd.sock", "path: "+filepath.Join(other, "bundlesignd.sock"))
	o := operatorOf{t: t, dir: dir}
	o.fails(1, "is it the daemon of this configuration?", "create", uri, "--name", "a", "--app", "com.acme.shop", "--yes")

	// Nor where the state belongs to a daemon that does not answer.
	held := initialized(t)
	d := startDaemon(t, held)
	if err := os.Remove(filepath.Join(held, "bundlesignd.sock")); err != nil {
		t.Fatal(err)
	}
	uri2, _ := newFile(held)
	operatorOf{t: t, dir: held}.fails(1, "nobody answers at its socket", "create", uri2, "--name", "a", "--app", "com.acme.shop", "--yes")
	d.stop()
	for _, u := range []string{uri, uri2} {
		if _, err := os.Stat(strings.TrimPrefix(u, "file:")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want no key", u, err)
		}
	}
}

// A user who may connect and have things signed is still no operator.
func TestKeyIsNotForEverybody(t *testing.T) {
	if os.Geteuid() != 0 {
		return // package api shows it for users that this one cannot become
	}
	dir := initialized(t)
	edit(t, dir, `mode: "0660"`, `mode: "0666"`)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, dir)
	cmd := exec.Command("curl", "-sS", "--unix-socket", filepath.Join(dir, "bundlesignd.sock"), "-H", "Content-Type: application/json",
		"-d", `{"reason":"mischief"}`, "http://localhost/v1/keys/acme-shop/disable")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), wire.ProblemForbidden) {
		t.Errorf("%v (curl must be installed): %s, want it forbidden", err, out)
	}
	d.signs(publicKey(t, filepath.Join(dir, "acme-shop.pub.pem")), 1)
}
