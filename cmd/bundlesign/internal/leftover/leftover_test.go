package leftover

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, capgo.KeyBits) })

// forms returns a key in each form that it is found in, and its public half.
func forms(t *testing.T) (map[string]string, *capgo.PublicKey) {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	eight := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return map[string]string{
		"PKCS#1":         pkcs1,
		"PKCS#8":         eight,
		"after text":     "the key:\r\n\r\n" + strings.ReplaceAll(pkcs1, "\n", "\r\n") + "\r\nend",
		"in a .env":      "A=b\nKEY=\"" + strings.ReplaceAll(pkcs1, "\n", `\n`) + "\"\n",
		"in JSON":        `{"key": "` + strings.ReplaceAll(strings.ReplaceAll(eight, "\n", `\r\n`), "/", `\/`) + `"}`,
		"in YAML":        "key: |\n    " + strings.ReplaceAll(pkcs1, "\n", "\n    "),
		"in one line":    strings.ReplaceAll(pkcs1, "\n", ""),
		"in base64":      "KEY=" + base64.StdEncoding.EncodeToString([]byte(pkcs1)) + "\nOTHER=abc",
		"base64 no pad":  base64.RawStdEncoding.EncodeToString([]byte(eight)) + "\nOTHER abc",
		"base64, folded": fold(base64.StdEncoding.EncodeToString([]byte(pkcs1))),
	}, public
}

func fold(s string) (out string) {
	for ; len(s) > 76; s = s[76:] {
		out += s[:76] + "\n"
	}
	return out + s
}

func TestScanFindsKeysInEveryForm(t *testing.T) {
	all, public := forms(t)
	for name, text := range all {
		keys := scan([]byte(text))
		if len(keys) != 1 || keys[0].Public == nil || !keys[0].Public.Equal(public) {
			t.Errorf("%s: found %v, want the key", name, keys)
		}
	}
	if keys := scan([]byte(all["PKCS#1"] + all["PKCS#8"])); len(keys) != 2 {
		t.Errorf("found %d keys, want 2", len(keys))
	}
}

func TestScanOfOtherThings(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("A", 200)
	for text, want := range map[string]int{
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})):                             1,
		"-----BEGIN OPENSSH PRIVATE KEY-----\n" + long + "\n-----END OPENSSH PRIVATE KEY-----":              1,
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + long + "\n-----END ENCRYPTED PRIVATE KEY-----":          1,
		"if (s.includes('-----BEGIN RSA PRIVATE KEY-----')) throw 1":                                        0,
		"-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----":                               0,
		"-----BEGIN RSA PRIVATE KEY-----\n" + long + "\n-----END PRIVATE KEY-----":                          0,
		"-----BEGIN RSA PUBLIC KEY-----\n" + long + "\n-----END RSA PUBLIC KEY-----":                        0,
		"-----BEGIN RSA PRIVATE KEY-----" + strings.Repeat("A", maxBlock) + "-----END RSA PRIVATE KEY-----": 0,
		"LS0tLS1CRUdJTi" + strings.Repeat("A", 1000):                                                        0,
		"": 0,
	} {
		keys := scan([]byte(text))
		if len(keys) != want {
			t.Errorf("%.60q: found %v, want %d", text, keys, want)
		}
		for _, k := range keys {
			if k.Public != nil {
				t.Errorf("%.60q: found the public key %v, want none", text, k.Public)
			}
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOnDiskFollowsNothing(t *testing.T) {
	all, _ := forms(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	key := all["PKCS#1"]
	write(t, filepath.Join(dir, "a", ".capgo_key_v2"), key)
	write(t, filepath.Join(dir, "node_modules", "x", "key.pem"), key)
	write(t, filepath.Join(dir, "long"), key+strings.Repeat("\n", maxFileSize))
	write(t, filepath.Join(elsewhere, "key"), key)
	if err := os.Symlink(filepath.Join(elsewhere, "key"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(dir, "pipe")).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v\n%s", err, out)
	}
	d, err := OnDisk(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Keys) != 1 || d.Keys[0].Where != "a/.capgo_key_v2" || !d.Complete || len(d.Unread) > 0 {
		t.Errorf("found %+v, want the one key", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OnDisk(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v after the end, want context.Canceled", err)
	}
}

// git runs git as nobody in particular.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A key is found wherever the repository still has it: in what was removed, on another branch, in what was amended
// away, in a stash, and in the index.
func TestInHistory(t *testing.T) {
	all, public := forms(t)
	for name, leave := range map[string]func(dir, file string){
		"removed": func(dir, file string) {
			git(t, dir, "add", ".")
			git(t, dir, "commit", "--quiet", "--message", "key")
			git(t, dir, "rm", "--quiet", file)
			git(t, dir, "commit", "--quiet", "--message", "no key")
		},
		"another branch": func(dir, file string) {
			git(t, dir, "switch", "--quiet", "--create", "side")
			git(t, dir, "add", ".")
			git(t, dir, "commit", "--quiet", "--message", "key")
			git(t, dir, "switch", "--quiet", "-")
		},
		"amended": func(dir, file string) {
			git(t, dir, "add", ".")
			git(t, dir, "commit", "--quiet", "--message", "key")
			git(t, dir, "rm", "--quiet", file)
			git(t, dir, "commit", "--quiet", "--amend", "--allow-empty", "--message", "no key")
		},
		"stash": func(dir, file string) {
			git(t, dir, "add", ".")
			git(t, dir, "stash", "--quiet")
		},
		"index": func(dir, file string) { git(t, dir, "add", ".") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, "init", "--quiet")
			write(t, filepath.Join(dir, "app", "README"), "hello")
			git(t, dir, "add", ".")
			git(t, dir, "commit", "--quiet", "--message", "first")
			h, err := InHistory(t.Context(), filepath.Join(dir, "app"))
			if err != nil || len(h.Keys) > 0 || h.Blobs != 1 {
				t.Fatalf("found %+v, %v before there is a key", h, err)
			}
			const file = "a key\tÄ.pem"
			write(t, filepath.Join(dir, file), all["PKCS#8"])
			leave(dir, file)
			if h, err = InHistory(t.Context(), filepath.Join(dir, "app")); err != nil {
				t.Fatal(err)
			}
			if len(h.Keys) != 1 || h.Keys[0].Where != file || !h.Keys[0].Public.Equal(public) || !isID(h.Keys[0].Object) || h.Shallow || !h.Complete {
				t.Errorf("found %+v, want the key in %q", h, file)
			}
		})
	}
}

func TestInHistoryWithoutRepository(t *testing.T) {
	if _, err := InHistory(t.Context(), t.TempDir()); !errors.Is(err, ErrNoRepository) {
		t.Errorf("found %v, want ErrNoRepository", err)
	}
	dir := t.TempDir()
	git(t, dir, "init", "--quiet")
	if h, err := InHistory(t.Context(), dir); err != nil || h.Blobs != 0 {
		t.Errorf("found %+v, %v in an empty repository", h, err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := InHistory(t.Context(), dir); !errors.Is(err, ErrNoGit) {
		t.Errorf("found %v, want ErrNoGit", err)
	}
}

// A repository is told to run a program wherever git can be told. None is run; what is hidden is found.
func TestInHistoryOfHostileRepository(t *testing.T) {
	all, _ := forms(t)
	dir := t.TempDir()
	git(t, dir, "init", "--quiet")
	write(t, filepath.Join(dir, "key"), all["PKCS#1"])
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "--message", "key")
	secret := git(t, dir, "rev-parse", "HEAD:key")
	write(t, filepath.Join(dir, "key"), "nothing")
	write(t, filepath.Join(dir, ".gitattributes"), "* diff=evil filter=evil\n")
	git(t, dir, "add", ".")
	harmless := git(t, dir, "rev-parse", ":key")
	git(t, dir, "commit", "--quiet", "--message", "no key")
	git(t, dir, "replace", secret, harmless) // shows the one for the other

	// An object that is promised by somebody else, who is to be asked with a program.
	write(t, filepath.Join(dir, "lost"), "lost")
	git(t, dir, "add", ".")
	lost := git(t, dir, "rev-parse", ":lost")
	git(t, dir, "commit", "--quiet", "--message", "lost")
	if err := os.Remove(filepath.Join(dir, ".git", "objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}

	ran := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(dir, "evil")
	write(t, evil, "#!/bin/sh\ntouch "+ran+"\n")
	if err := os.Chmod(evil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"post-checkout", "pre-auto-gc", "post-index-change", "reference-transaction", "fsmonitor-watchman"} {
		if err := os.Symlink(evil, filepath.Join(dir, ".git", "hooks", hook)); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"core.repositoryFormatVersion": "1", "extensions.partialClone": "evil",
		"core.fsmonitor": evil, "core.pager": evil, "pager.rev-list": evil, "core.editor": evil, "core.sshCommand": evil, "core.askPass": evil,
		"core.hooksPath": filepath.Join(dir, ".git", "hooks"), "core.alternateRefsCommand": evil, "core.gitProxy": evil,
		"diff.external": evil, "diff.evil.textconv": evil, "diff.evil.command": evil, "filter.evil.smudge": evil, "filter.evil.process": evil,
		"gpg.program": evil, "log.showSignature": "true", "credential.helper": "!" + evil, "alias.rev-list": "!" + evil, "alias.cat-file": "!" + evil,
		"remote.evil.url": "ext::" + evil, "remote.evil.promisor": "true", "remote.evil.uploadpack": evil, "protocol.ext.allow": "always", "protocol.allow": "always",
	} {
		git(t, dir, "config", name, value)
	}
	// These are about another repository.
	t.Setenv("GIT_DIR", filepath.Join(t.TempDir(), ".git"))
	t.Setenv("GIT_EXTERNAL_DIFF", evil)

	h, err := InHistory(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Keys) != 1 || h.Keys[0].Object != secret {
		t.Errorf("found %+v, want the key in %s", h, secret)
	}
	// The search does not even ask for what is not there; it must not matter.
	exe, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := (&repository{exe, dir}).run(t.Context(), "cat-file", "-p", lost); err == nil {
		t.Errorf("found %q, want it to be missing", out)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the repository had a program run")
	}
}

func TestInHistoryEnds(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet")
	write(t, filepath.Join(dir, "a"), "a")
	git(t, dir, "add", ".")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := InHistory(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found %v, want context.DeadlineExceeded", err)
	}
}
