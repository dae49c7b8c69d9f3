package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
)

// execute runs a command and returns what it wrote.
func execute(cmd *cobra.Command, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true // as the root command has it
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

// command returns the printed line that begins with the given word.
func command(t *testing.T, output, word string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "  "+word+" ") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("found no %s command in:\n%s", word, output)
	return ""
}

func TestInitCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's here")
	stdout, stderr, err := execute(newInitCommand(), "--dir", dir, "--app", "com.acme.shop")
	if err != nil || stderr != "" {
		t.Fatalf("init: %v, %q", err, stderr)
	}
	for _, name := range []string{"config.yaml", "policy.yaml", "acme-shop.key.pem", "acme-shop.pub.pem", "log.key", "state/"} {
		if !strings.Contains(stdout, "  "+filepath.Join(dir, name)) {
			t.Errorf("found no %s in:\n%s", name, stdout)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	path := filepath.Join(dir, "config.yaml")
	cfg, warnings, err := config.Load(path, config.Options{CheckURI: backends.CheckURI})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("found %v, %v, want nothing wrong", err, warnings)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	d := cfg.Policy.Decide(policy.Request{App: "com.acme.shop", Channel: "production", Requester: policy.Identity{User: me.Username}})
	if d.Effect != policy.Allow {
		t.Errorf("who ran init is denied: %s", d.Reason)
	}

	// The printed commands are for pasting.
	quoted := "'" + strings.ReplaceAll(dir, "'", `'\''`)
	if got, want := command(t, stdout, "bundlesignd"), "bundlesignd serve --config "+quoted+"/config.yaml'"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	if got, want := command(t, stdout, "bundlesign"), "bundlesign sign BUNDLE.zip --app com.acme.shop --channel production --version 1.0.0 --socket "+quoted+"/bundlesignd.sock'"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	line, err := exec.Command("sh", "-c", command(t, stdout, "awk")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(cfg.Keys[0].PublicKey.PEM(), "\n", `\n`); string(line) != want {
		t.Errorf("the printed command shows %q, want %q", line, want)
	}
}

func TestInitCommandWithAnHSM(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := execute(newInitCommand(), "--dir", filepath.Join(dir, "first")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	args := []string{
		"--dir", "second", "--app", "com.acme.shop", "--user", "daemon", "--origin", "example.com/log",
		"--socket", "s.sock", "--state-dir", "var",
		"--key-uri", "pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/hsm.so&pin-source=/etc/pin",
		"--public-key", "first/example-app.pub.pem",
	}
	stdout, _, err := execute(newInitCommand(), args...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stdout, ".key.pem") {
		t.Errorf("a private key is spoken of in:\n%s", stdout)
	}
	cfg, warnings, err := config.Load("second/config.yaml", config.Options{CheckURI: backends.CheckURI})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("found %v, %v, want nothing wrong", err, warnings)
	}
	if cfg.Log.Origin != "example.com/log" || cfg.Socket.Path != filepath.Join(dir, "s.sock") || cfg.StateDir != filepath.Join(dir, "var") {
		t.Errorf("found %+v, want what was typed, relative to here", cfg)
	}
}

func TestInitCommandRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"URI alone":     {[]string{"--key-uri", "pkcs11:object=x"}, "found one of --key-uri and --public-key"},
		"bad URI":       {[]string{"--key-uri", "pkcs11:object=x", "--public-key", "../../config/testdata/capgo.pub.pem"}, "keys[0].uri: pkcs11 URI: has no module-path"},
		"no public key": {[]string{"--key-uri", "pkcs11:object=x", "--public-key", "nowhere"}, "--public-key: open nowhere"},
		"bad app":       {[]string{"--app", "a/b.c"}, `app: found "a/b.c"`},
		"bad origin":    {[]string{"--origin", "a b"}, `log.origin: found "a b"`},
		"no such user":  {[]string{"--user", "no-such-user"}, "--user: user: unknown user no-such-user"},
		"an argument":   {[]string{"now"}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, _, err := execute(newInitCommand(), append([]string{"--dir", filepath.Join(dir, "x")}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || stdout != "" {
				t.Errorf("found %v and %q, want %q", err, stdout, c.want)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("found %v, %v, want nothing written", entries, err)
			}
		})
	}
}

// The modes are those that the printed text needs, under any umask.
func TestInitSetsModes(t *testing.T) {
	for _, umask := range []string{"000", "022", "077", "777"} {
		dir := filepath.Join(t.TempDir(), "a", "c")
		cmd := exec.Command("/bin/sh", append([]string{"-c", "umask " + umask + `; exec "$@"`, "sh"},
			bundlesignd("init", "--dir", dir, "--app", "com.acme.shop").Args...)...)
		cmd.Env = bundlesignd().Env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("umask %s: %v\n%s", umask, err, out)
			continue
		}
		for name, want := range map[string]os.FileMode{
			"..": 0o755, ".": 0o755, "config.yaml": 0o644, "policy.yaml": 0o644, "acme-shop.pub.pem": 0o644,
			"acme-shop.key.pem": 0o600, "log.key": 0o600, "state": 0o700,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("umask %s: found %s with %v, %v, want %v", umask, name, info.Mode(), err, want)
			}
		}
	}
}

func TestHostLabel(t *testing.T) {
	for host, want := range map[string]string{"build-7.acme.example": "build-7.acme.example", "my_host": "my-host", "-x.": "x"} {
		if got := hostLabel(host); got != want {
			t.Errorf("hostLabel(%q) = %q, want %q", host, got, want)
		}
	}
}

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// replace replaces a text that must be in a file.
func replace(t *testing.T, path, from, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s does not have %q", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), from, to)), 0o644); err != nil {
		t.Fatal(err)
	}
}
