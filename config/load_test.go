package config_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/config"
)

const (
	goodConfig = `keys:
  - name: acme-shop
    uri: "pkcs11:object=acme-shop"
    public_key: k.pub.pem
    apps: [com.acme.shop]
log:
  origin: example.com/log
`
	goodPolicy = `rules:
  - {name: ci, users: [ci], effect: allow}
`
)

// folder is a folder with a configuration in it.
type folder struct {
	t    *testing.T
	path string
}

// newFolder writes a configuration that is good.
func newFolder(t *testing.T) folder {
	t.Helper()
	f := folder{t, t.TempDir()}
	f.chmod(".", 0o755)
	public, err := os.ReadFile("testdata/capgo.pub.pem")
	if err != nil {
		t.Fatal(err)
	}
	logKey, _, err := note.GenerateKey(rand.Reader, "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	f.write("config.yaml", goodConfig, 0o644)
	f.write("policy.yaml", goodPolicy, 0o644)
	f.write("k.pub.pem", string(public), 0o644)
	f.write("log.key", logKey+"\n", 0o600)
	return f
}

func (f folder) at(name string) string { return filepath.Join(f.path, name) }

func (f folder) write(name, text string, mode os.FileMode) {
	f.t.Helper()
	if err := os.WriteFile(f.at(name), []byte(text), mode); err != nil {
		f.t.Fatal(err)
	}
	f.chmod(name, mode)
}

func (f folder) chmod(name string, mode os.FileMode) {
	f.t.Helper()
	if err := os.Chmod(f.at(name), mode); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) rename(from, to string) {
	f.t.Helper()
	if err := os.Rename(f.at(from), f.at(to)); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) link(target, name string) {
	f.t.Helper()
	if err := os.Symlink(target, f.at(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) mkdir(name string, mode os.FileMode) {
	f.t.Helper()
	if err := os.Mkdir(f.at(name), mode); err != nil {
		f.t.Fatal(err)
	}
	f.chmod(name, mode)
}

// load returns what is found, with the path of the folder cut to DIR.
func (f folder) load(opts config.Options) (*config.Config, []string) {
	c, warnings, err := config.Load(f.at("config.yaml"), opts)
	if (c == nil) != (err != nil) {
		f.t.Errorf("Load = %v, %v, want a configuration or an error", c, err)
	}
	var found []string
	var errs config.Errors
	if errors.As(err, &errs) {
		for _, e := range errs {
			found = append(found, e.Error())
		}
	}
	for _, w := range warnings {
		found = append(found, w.String())
	}
	for i := range found {
		found[i] = strings.ReplaceAll(found[i], f.path, "DIR")
	}
	return c, found
}

func TestLoad(t *testing.T) {
	f := newFolder(t)
	c, found := f.load(config.Options{})
	if len(found) > 0 {
		t.Fatalf("found %q, want nothing wrong", found)
	}
	if got := c.Keys[0].PublicKey.KeyID(); got != "MIIBCgKCAQEAqJikYizo" {
		t.Errorf("found key id %q, want that of testdata/capgo.pub.pem", got)
	}
	if c.PolicyRules != 1 || !strings.HasPrefix(c.Policy.Hash(), "sha256:") {
		t.Errorf("found %d rules with hash %q, want 1 with a hash", c.PolicyRules, c.Policy.Hash())
	}
	if c.StateDir != "/var/lib/bundlesignd" || c.Log.KeyPath != f.at("log.key") {
		t.Errorf("found state_dir %q and log key %q, want the default and %q", c.StateDir, c.Log.KeyPath, f.at("log.key"))
	}

	// The verifier key is the public half of the signer.
	msg, err := note.Sign(&note.Note{Text: "x\n"}, c.Log.Signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(c.Log.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(msg, note.VerifierList(verifier)); err != nil {
		t.Errorf("the verifier key does not open a note by the signer: %v", err)
	}
}

// TestLogKeysWithEveryByte: the base64 of one key in four has a plus, which also
// separates the fields of a log key.
func TestLogKeysWithEveryByte(t *testing.T) {
	f := newFolder(t)
	plus := 0
	for plus < 5 {
		secret, verifier, err := note.GenerateKey(rand.Reader, "example.com/log")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(secret, "+") > 4 {
			plus++
		}
		f.write("log.key", secret, 0o600)
		c, found := f.load(config.Options{})
		if len(found) > 0 || c.Log.VerifierKey != verifier {
			t.Fatalf("found %q, want the verifier key %s", found, verifier)
		}
	}
}

// TestPathsAreShownAsTyped loads from a relative path.
func TestPathsAreShownAsTyped(t *testing.T) {
	f := newFolder(t)
	f.write("config.yaml", "polcy: x\n", 0o644)
	f.write("policy.yaml", "rules: [{}]\n", 0o644)
	t.Chdir(filepath.Dir(f.path))
	_, _, err := config.Load(filepath.Join(filepath.Base(f.path), "config.yaml"), config.Options{})
	for _, want := range []string{
		filepath.Base(f.path) + "/config.yaml:1:1: polcy: unknown field",
		"\n" + filepath.Base(f.path) + "/policy.yaml:1:9: rules[0].name: missing",
	} {
		if err == nil || !strings.Contains("\n"+err.Error(), want) {
			t.Errorf("found %v, want %q in it", err, want)
		}
	}
}

// TestAllFilesAreReported holds that faults in every file come at once.
func TestAllFilesAreReported(t *testing.T) {
	f := newFolder(t)
	f.write("config.yaml", goodConfig+"limits: {files: 0}\n", 0o644)
	f.write("policy.yaml", "rules:\n- {name: a, effect: maybe}\n", 0o644)
	f.write("k.pub.pem", "hello", 0o644)
	f.write("log.key", "hello", 0o600)
	_, found := f.load(config.Options{CheckURI: func(string) error { return errors.New("has no module-path") }})
	want := []string{
		`DIR/config.yaml:3:10: keys[0].uri: has no module-path`,
		`DIR/config.yaml:4:17: keys[0].public_key: DIR/k.pub.pem: found no PEM block, want -----BEGIN RSA PUBLIC KEY-----`,
		// log.key is left out: its place is that of the section.
		`DIR/config.yaml:7:3: log.key: DIR/log.key: found no Ed25519 note signing key ("PRIVATE+KEY+name+hash+key"), want one as "bundlesignd init" makes it`,
		`DIR/config.yaml:8:17: limits.files: found the number 0, want an integer from 1 to 100000`,
		`DIR/policy.yaml:2:21: rules[0].effect: found "maybe", want "allow", "deny" or "approve"`,
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}

func TestMissingFiles(t *testing.T) {
	f := newFolder(t)
	for _, name := range []string{"policy.yaml", "k.pub.pem", "log.key"} {
		f.rename(name, name+".away")
	}
	f.write("config.yaml", strings.Replace(goodConfig, "k.pub.pem", "config.yaml/k.pub.pem", 1), 0o644)
	_, found := f.load(config.Options{})
	want := []string{
		`DIR/config.yaml:1:1: policy: found no file DIR/policy.yaml`,
		`DIR/config.yaml:4:17: keys[0].public_key: found no file DIR/config.yaml/k.pub.pem: a part of its path is not a folder`,
		`DIR/config.yaml:7:3: log.key: found no file DIR/log.key`,
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
	f.rename("config.yaml", "away")
	_, found = f.load(config.Options{})
	if diff := cmp.Diff([]string{`DIR/config.yaml: found no file DIR/config.yaml`}, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}

// fakeKey is PEM with the form of a public key; nobody has its private half.
func fakeKey(bits uint, exponent int) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	n.SetBit(n, 0, 1)
	der := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: n, E: exponent})
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}))
}

func TestPinnedKeys(t *testing.T) {
	f := newFolder(t)
	for text, want := range map[string]string{
		fakeKey(1024, 65537):              "found an RSA key of 1024 bits, want 2048",
		fakeKey(3072, 65537):              "found an RSA key of 3072 bits, want 2048",
		fakeKey(2048, 3):                  "found an RSA key with public exponent 3, want 65537",
		"":                                "found no PEM block",
		strings.Repeat("x", 16<<10) + "x": "with 16385 bytes, want at most 16384",
	} {
		f.write("k.pub.pem", text, 0o644)
		_, found := f.load(config.Options{})
		if len(found) != 1 || !strings.HasPrefix(found[0], "DIR/config.yaml:4:17: keys[0].public_key: ") || !strings.Contains(found[0], want) {
			t.Errorf("found %q, want %q at keys[0].public_key", found, want)
		}
	}
}

func TestOnePinTwice(t *testing.T) {
	f := newFolder(t)
	f.write("config.yaml", strings.Replace(goodConfig, "log:", "  - {name: b, uri: 'pkcs11:object=b', public_key: k.pub.pem, apps: [com.acme.b]}\nlog:", 1), 0o644)
	_, found := f.load(config.Options{})
	want := []string{`DIR/config.yaml:6:51: warning: keys[1].public_key: is the same key as that of keys[0]; what one signs is good for the apps of both`}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}

func TestLogKeyOfAnotherLog(t *testing.T) {
	f := newFolder(t)
	other, _, err := note.GenerateKey(rand.Reader, "example.com/other")
	if err != nil {
		t.Fatal(err)
	}
	f.write("log.key", other, 0o600)
	_, found := f.load(config.Options{})
	want := []string{`DIR/config.yaml:7:3: log.key: DIR/log.key: found the key of log "example.com/other", want that of log.origin, "example.com/log"`}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
	// A changed key must be refused without being shown.
	f.write("log.key", strings.Replace(other, "example.com/other", "example.com/log", 1), 0o600)
	_, found = f.load(config.Options{})
	if len(found) != 1 || strings.Contains(found[0], other[len(other)-10:]) || !strings.Contains(found[0], "found no Ed25519 note signing key") {
		t.Errorf("found %q, want the key refused and not shown", found)
	}
}

func TestLoadPolicy(t *testing.T) {
	f := newFolder(t)
	p, warnings, err := config.LoadPolicy(f.at("policy.yaml"), config.Options{})
	if err != nil || len(warnings) > 0 || p.Hash() == "" {
		t.Errorf("LoadPolicy = %v, %v, %v, want a policy", p, warnings, err)
	}
	f.write("policy.yaml", "rules:\n- {name: a, effect: allow}\n- {name: a, effect: allow}\n", 0o666)
	p, _, err = config.LoadPolicy(f.at("policy.yaml"), config.Options{})
	want := f.at("policy.yaml") + ": found " + f.at("policy.yaml") + " writable by its group and others (mode 0666), want it writable by its owner alone: chmod go-w " + f.at("policy.yaml") + "\n" +
		f.at("policy.yaml") + `:3:10: rules[1].name: found "a", which rules[0] has already; names are unique`
	if p != nil || err == nil || err.Error() != want {
		t.Errorf("LoadPolicy = %v, %v\nwant nothing and\n%s", p, err, want)
	}
	if _, _, err = config.LoadPolicy(f.at("nowhere.yaml"), config.Options{}); err == nil {
		t.Error("LoadPolicy accepts a file that is not there")
	}
}
