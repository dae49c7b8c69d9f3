package main

import (
	"errors"
	"os"
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
		var code interface{ ExitCode() int }
		if !errors.As(err, &code) || code.ExitCode() != 2 || err.Error() != message {
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

	t.Run("as the user of the daemon", func(t *testing.T) {
		// The files belong to who runs this test: right for a daemon of that user.
		// For one of another user they are as right if that is root, else wrong.
		if _, stderr, err := check("--user", me(t)); err != nil {
			t.Errorf("found %v, %q, want nothing wrong", err, stderr)
		}
		_, stderr, err := check("--user", "daemon")
		if os.Geteuid() == 0 {
			if err != nil {
				t.Errorf("found %v, %q, want root's files believed", err, stderr)
			}
			if err := os.Chown(filepath.Join(dir, "c", "log.key"), 1, -1); err != nil {
				t.Fatal(err)
			}
			if _, stderr, err = check("--user", "daemon"); err != nil {
				t.Errorf("found %v, %q, want the daemon's own file believed", err, stderr)
			}
			_, stderr, err = check()
			if err := os.Chown(filepath.Join(dir, "c", "log.key"), 0, -1); err != nil {
				t.Fatal(err)
			}
		}
		if err == nil || !strings.Contains(stderr, "log.key owned by") {
			t.Errorf("found %v, %q, want a stranger's file refused", err, stderr)
		}
		if _, _, err := check("--user", "no-such-user"); err == nil || !strings.Contains(err.Error(), "--user: user: unknown user no-such-user") {
			t.Errorf("found %v, want the user refused", err)
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
