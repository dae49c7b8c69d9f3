package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
)

func TestConfigCheckCommand(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := execute(newInitCommand(), "--dir", filepath.Join(dir, "c"), "--app", "com.acme.shop", "--origin", "example.com/log"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c", "config.yaml")
	check := func(args ...string) (stdout, stderr string, err error) {
		return execute(newConfigCommand(backends.CheckURI), append([]string{"check", "--config", path}, args...)...)
	}
	coded := func(t *testing.T, err error, message string) {
		t.Helper()
		if exitCodeOf(err) != exitUsage || err.Error() != message {
			t.Errorf("found the error %v, want %q with exit code 2", err, message)
		}
	}

	t.Run("good", func(t *testing.T) {
		stdout, stderr, err := check("--strict")
		if err != nil || stderr != "" {
			t.Errorf("found %v, %q, want nothing wrong", err, stderr)
		}
		cfg, _, err := config.Load(path, config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := path + " is good.\n" +
			"key acme-shop: must prove software; signs for com.acme.shop; " + cfg.Keys[0].PublicKey.Fingerprint() + "\n" +
			"policy " + filepath.Join(dir, "c", "policy.yaml") + ": 1 rule; " + cfg.Policy.Hash() + "\n" +
			"log example.com/log: " + cfg.Log.VerifierKey + "\n"
		if stdout != want {
			t.Errorf("found %q, want %q", stdout, want)
		}
	})

	t.Run("warnings", func(t *testing.T) {
		replace(t, filepath.Join(dir, "c", "policy.yaml"), "    effect: allow\n", "    effect: allow\n  - {name: same, apps: [com.acme.shop], users: ["+me(t)+"], effect: deny}\n")
		stdout, stderr, err := check()
		if err != nil || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, `warning: rules[1]: rule "same" is never reached`) || !strings.Contains(stdout, "2 rules") {
			t.Errorf("found %v, %q, %q, want one warning", err, stdout, stderr)
		}
		stdout, stderr, err = check("--strict")
		coded(t, err, path+": 1 warning, which --strict takes for errors")
		if stdout != "" || !strings.Contains(stderr, "never reached") {
			t.Errorf("found %q, %q, want the warning alone", stdout, stderr)
		}
	})

	t.Run("errors", func(t *testing.T) {
		replace(t, path, "custody: software", "custody: hsm")
		replace(t, path, "files: 20000", "fils: 20000")
		stdout, stderr, err := check()
		coded(t, err, path+": 2 errors, 1 warning")
		for _, want := range []string{
			`keys[0].custody: found "hsm", want "software", "non-extractable" or "never-extractable"` + "\n",
			"limits.fils: unknown field; did you mean files?\n",
		} {
			if !strings.Contains(stderr, want) {
				t.Errorf("found %q, want %q in it", stderr, want)
			}
		}
		if stdout != "" {
			t.Errorf("found %q on stdout, want nothing", stdout)
		}
	})

	t.Run("nothing there", func(t *testing.T) {
		path = filepath.Join(dir, "nowhere.yaml")
		_, stderr, err := check()
		coded(t, err, path+": 1 error, 0 warnings")
		if want := path + ": found no file " + path + "\n"; stderr != want {
			t.Errorf("found %q, want %q", stderr, want)
		}
	})
}
