package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

func initOptions() config.InitOptions {
	return config.InitOptions{App: "com.acme.shop", User: "ci", Origin: "example.com/log", CreateKey: file.Create}
}

// tree returns the paths below dir with their modes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir {
			info, err := d.Info()
			if err != nil {
				return err
			}
			list = append(list, strings.TrimPrefix(path, dir+"/")+" "+info.Mode().String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(list)
	return list
}

func TestInit(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	made, err := config.Init(dir, initOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Initialized{
		Config: dir + "/config.yaml", Policy: dir + "/policy.yaml", PrivateKey: dir + "/acme-shop.key.pem",
		PublicKey: dir + "/acme-shop.pub.pem", LogKey: dir + "/log.key", StateDir: dir + "/state",
		Socket: dir + "/bundlesignd.sock", KeyName: "acme-shop",
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"acme-shop.key.pem -rw-------", "acme-shop.pub.pem -rw-r--r--", "config.yaml -rw-r--r--",
		"log.key -rw-------", "policy.yaml -rw-r--r--", "state drwx------",
	}, tree(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	c, warnings, err := config.Load(made.Config, config.Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, %v, want nothing wrong", err, warnings)
	}
	key := c.Keys[0]
	if key.URI != "file:"+made.PrivateKey || key.Custody != signer.Software || c.StateDir != made.StateDir || c.Socket.Path != made.Socket {
		t.Errorf("found %+v in %+v, want the paths of %+v", key, c, made)
	}
	if d := c.Policy.Decide(policy.Request{App: "com.acme.shop", Channel: "x", Requester: policy.Identity{User: "ci"}}); d.Effect != policy.Allow {
		t.Errorf("the user is denied: %s", d.Reason)
	}
	for _, q := range []policy.Request{
		{App: "com.acme.pay", Channel: "x", Requester: policy.Identity{User: "ci"}},
		{App: "com.acme.shop", Channel: "x", Requester: policy.Identity{User: "eve"}},
	} {
		if d := c.Policy.Decide(q); d.Effect != policy.Deny {
			t.Errorf("Decide(%+v) = %s, want it denied", q, d.Reason)
		}
	}
	// The PEM is byte for byte what devices take.
	data, err := os.ReadFile(made.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != key.PublicKey.PEM() {
		t.Errorf("found %q, want the PEM of the pin", data)
	}
}

// TestInitIsExplained holds that the manual is in what is written.
func TestInitIsExplained(t *testing.T) {
	dir := t.TempDir()
	made, err := config.Init(dir, initOptions())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		made.Config: {
			"#   bundlesignd config check --config " + made.Config + "\n",
			"# Relative paths are relative to the folder that holds config.yaml.",
			"    # How long one operation of the key may take before it counts as failed.\n    # (duration from 100ms to 5m; default 10s)\n    timeout: 10s\n",
			"state_dir: state\n",
		},
		made.Policy: {
			"# Rules are tried in order, and the first that matches a request decides.",
			"    # (list of patterns; optional)\n    # channels: [staging, \"pr-*\"]\n",
		},
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(string(data), text) {
				t.Errorf("%s does not have %q:\n%s", path, text, data)
			}
		}
	}
}

func TestInitWithAnExistingKey(t *testing.T) {
	parent := t.TempDir()
	public, err := os.ReadFile("testdata/capgo.pub.pem")
	if err != nil {
		t.Fatal(err)
	}
	opts := initOptions()
	opts.CreateKey = func(string) (*capgo.PublicKey, error) { return nil, errors.New("a key was made") }
	opts.KeyURI = "pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/hsm.so"
	opts.PublicKey = []byte(strings.TrimSpace(string(public)))
	opts.StateDir = filepath.Join(parent, "var", "state")
	opts.Socket = filepath.Join(parent, "run.sock")
	made, err := config.Init(filepath.Join(parent, "etc"), opts)
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(made.Config, config.Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, %v, want nothing wrong", err, warnings)
	}
	key := c.Keys[0]
	if made.PrivateKey != "" || key.URI != opts.KeyURI || key.Custody != signer.NonExtractable || c.AllowSoftwareKeys {
		t.Errorf("found %+v with allow_software_keys: %t, want the key in the HSM", key, c.AllowSoftwareKeys)
	}
	if c.StateDir != opts.StateDir || c.Socket.Path != opts.Socket {
		t.Errorf("found state_dir %s and socket %s, want %s and %s", c.StateDir, c.Socket.Path, opts.StateDir, opts.Socket)
	}
	data, err := os.ReadFile(made.PublicKey)
	if err != nil || string(data) != string(public) {
		t.Errorf("found %q, %v, want the PEM in its plain form", data, err)
	}
}

// TestInitNeverOverwrites tries every file that is in the way, one at a time.
func TestInitNeverOverwrites(t *testing.T) {
	for _, name := range []string{"config.yaml", "policy.yaml", "acme-shop.key.pem", "acme-shop.pub.pem", "log.key", "state/db"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", path); err != nil { // a dangling link is in the way too
			t.Fatal(err)
		}
		before := tree(t, dir)
		_, err := config.Init(dir, initOptions())
		if err == nil || !strings.Contains(err.Error(), filepath.Dir(path)) || !strings.Contains(err.Error(), "found ") {
			t.Errorf("%s: found %v, want it named", name, err)
		}
		if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
			t.Errorf("%s was in the way (-before +after)\n%s", name, diff)
		}
	}
}

// TestInitTwice also names everything that is in the way at once.
func TestInitTwice(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Init(dir, initOptions()); err != nil {
		t.Fatal(err)
	}
	_, err := config.Init(dir, initOptions())
	for _, name := range []string{"config.yaml", "policy.yaml", "acme-shop.key.pem", "acme-shop.pub.pem", "log.key"} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+" already") {
			t.Errorf("found %v, want %s in it", err, name)
		}
	}
}

// TestInitTakesBack holds that a fault at the end leaves nothing behind, and
// that what was there before stays.
func TestInitTakesBack(t *testing.T) {
	t.Run("no key", func(t *testing.T) {
		parent := t.TempDir()
		opts := initOptions()
		opts.CreateKey = func(string) (*capgo.PublicKey, error) { return nil, errors.New("no entropy") }
		_, err := config.Init(filepath.Join(parent, "a", "b"), opts)
		if err == nil || !strings.Contains(err.Error(), "no entropy") {
			t.Errorf("found %v, want the fault", err)
		}
		if left := tree(t, parent); len(left) > 0 {
			t.Errorf("found %q, want nothing left", left)
		}
	})
	t.Run("a folder that others can write", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Init(dir, initOptions())
		if err == nil || !strings.Contains(err.Error(), "chmod go-w "+dir) {
			t.Errorf("found %v, want what to do", err)
		}
		if diff := cmp.Diff([]string{"mine -rw-------"}, tree(t, dir)); diff != "" {
			t.Errorf("(-want +left)\n%s", diff)
		}
	})
	t.Run("something made in between", func(t *testing.T) {
		dir := t.TempDir()
		opts := initOptions()
		opts.CreateKey = func(path string) (*capgo.PublicKey, error) {
			if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("theirs"), 0o600); err != nil {
				return nil, err
			}
			return file.Create(path)
		}
		if _, err := config.Init(dir, opts); !errors.Is(err, fs.ErrExist) {
			t.Errorf("found %v, want that policy.yaml exists", err)
		}
		if diff := cmp.Diff([]string{"policy.yaml -rw-------"}, tree(t, dir)); diff != "" {
			t.Errorf("(-want +left)\n%s", diff)
		}
	})
}

func TestInitRefusesBadOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.InitOptions)
		want   string
	}{
		"app":        {func(o *config.InitOptions) { o.App = "shop" }, `app: found "shop", which has no dot`},
		"no user":    {func(o *config.InitOptions) { o.User = "" }, "user: found no name"},
		"user":       {func(o *config.InitOptions) { o.User = "a?" }, `rules[0].users[0]: found "a?", in which '?' would stand for itself`},
		"origin":     {func(o *config.InitOptions) { o.Origin = "https://x" }, `log.origin: found "https://x", which has a scheme`},
		"socket":     {func(o *config.InitOptions) { o.Socket = "/" + strings.Repeat("x", 107) }, "socket.path: found a path of 108 bytes"},
		"line break": {func(o *config.InitOptions) { o.StateDir = "/a\nb" }, "found text with a line break"},
		"URI alone":  {func(o *config.InitOptions) { o.KeyURI = "pkcs11:object=x" }, "found a key's URI or its public key alone"},
		"bad URI": {func(o *config.InitOptions) {
			o.KeyURI, o.PublicKey = "pkcs11:object=x", []byte(fakeKey(2048, 65537))
			o.CheckURI = func(string) error { return errors.New("has no module-path") }
		}, "keys[0].uri: has no module-path"},
		"bad key": {func(o *config.InitOptions) {
			o.KeyURI, o.PublicKey = "pkcs11:object=x", []byte(fakeKey(2048, 3))
		}, "public key: found an RSA key with public exponent 3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opts := initOptions()
			opts.CreateKey = func(string) (*capgo.PublicKey, error) { return nil, errors.New("a key was made") }
			c.change(&opts)
			_, err := config.Init(dir, opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v, want %q", err, c.want)
			}
			if left := tree(t, dir); len(left) > 0 {
				t.Errorf("found %q, want nothing written", left)
			}
		})
	}
}

func TestInitNamesKeys(t *testing.T) {
	public, err := capgo.ParsePublicKeyPEM([]byte(fakeKey(2048, 65537)))
	if err != nil {
		t.Fatal(err)
	}
	for app, want := range map[string]string{
		"com.example.app": "example-app", "a.b": "b", "Com.Acme.Shop_2-x": "acme-shop-2-x", "a._": "app",
		"a." + strings.Repeat("b", 100): strings.Repeat("b", 63),
	} {
		opts := initOptions()
		opts.App, opts.KeyURI, opts.PublicKey = app, "pkcs11:object=x", []byte(public.PEM())
		made, err := config.Init(t.TempDir(), opts)
		if err != nil || made.KeyName != want {
			t.Errorf("app %s: found %+v, %v, want a key named %q", app, made, err, want)
		}
	}
}
