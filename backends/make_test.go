package backends_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/signer"
)

func TestMakerURIs(t *testing.T) {
	const pin = "s3cr3t"
	set := newSet(t)
	for uri, want := range map[string]string{
		"file:/etc/key.pem": "",
		"pkcs11:token=t;object=o?module-path=/m.so&pin-source=/p":                      "",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k":                      "",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1":  "gcpkms URI: ",
		"hashivault://transit/acme?address=https://vault:8200&token-file=/t":           "",
		"hashivault://transit/acme?version=1&address=https://vault:8200&token-file=/t": "hashivault URI: has a version",
		"pkcs11:object=o?module-path=/m.so&pin-value=" + pin:                           "pkcs11 URI: ",
		"hashivault://" + pin + "@host":                                                "hashivault URI: ",
		"file:key.pem":                                                                 "file URI: ",
		pin:                                                                            "found no URI scheme",
	} {
		m, err := set.Maker(uri)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
		if err != nil && strings.Contains(err.Error(), pin) {
			t.Errorf("the error repeats a secret: %v", err)
		}
		if err == nil {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for uri, want := range map[string]string{
		"file:/etc/key.pem": "want a key in a token, Vault or Cloud KMS",
		"pkcs11:token=t;object=o?module-path=/m.so&pin-source=/p":                      "",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1":  "",
		"hashivault://transit/acme?version=1&address=https://vault:8200&token-file=/t": "",
		pin: "found no URI scheme",
	} {
		k, err := set.OpenLogKey(backends.Spec{URI: uri})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("log key %s: %v, want %q", uri, err, want)
		}
		if err == nil {
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A Set that is closed opens nothing, and has closed what was open.
func TestSetClosesWhatIsOpen(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	set := newSet(t)
	key, err := set.Open(backends.Spec{Name: "acme", URI: tk.URI("acme")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := set.Maker(tk.URI("other"))
	if err != nil {
		t.Fatal(err)
	}
	logKey, err := set.OpenLogKey(backends.Spec{Name: "log", URI: tk.URI("log")})
	if err != nil {
		t.Fatal(err)
	}
	// They share the token's process, which one that closes leaves to the others.
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Inspect(t.Context()); err != nil {
		t.Errorf("after another user of the token was closed: %v", err)
	}
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Inspect(t.Context()); !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("the key of a closed set: %v", err)
	}
	if _, err := logKey.PublicKey(t.Context()); !errors.Is(err, signer.ErrKeyUnusable) {
		t.Errorf("the log's key of a closed set: %v", err)
	}
	if _, err := set.Maker(tk.URI("other")); err == nil {
		t.Error("a closed set has a maker")
	}
	if _, err := set.OpenLogKey(backends.Spec{URI: tk.URI("log")}); err == nil {
		t.Error("a closed set has a log key")
	}
}

// Who signs statements about keys can be asked for them through a Set, and who does
// not is not said to.
func TestAttestersAreSeen(t *testing.T) {
	s := kmstest.New(t)
	const name = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
	s.Generate(name)
	set := backends.NewSet(backends.Options{KMSOptions: s.ClientOptions()})
	defer set.Close()
	for uri, want := range map[string]bool{"gcpkms://" + name: true, "file:/etc/key.pem": false} {
		k, err := set.Open(backends.Spec{Name: "acme", URI: uri})
		if err != nil {
			t.Fatal(err)
		}
		a, ok := k.(backends.Attester)
		if ok != want {
			t.Errorf("%s attests: %t, want %t", uri, ok, want)
		}
		if !ok {
			continue
		}
		if files, err := a.Attest(t.Context()); err != nil || len(files) == 0 {
			t.Errorf("%s attests %d files, %v", uri, len(files), err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if _, err := a.Attest(t.Context()); err == nil {
			t.Error("a key that was closed attests")
		}
	}
}

func TestMakerOfFiles(t *testing.T) {
	set := newSet(t)
	path := filepath.Join(t.TempDir(), "key.pem")
	m, err := set.Maker(file.URI(path))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Create(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if said, err := m.Plan(t.Context(), false); err != nil || !strings.Contains(strings.Join(said, " "), path) {
		t.Errorf("the plan is %q, %v", said, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("so far there is something: %v", err)
	}
	if _, err := m.Import(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "it is in one already") {
		t.Errorf("imported: %v", err)
	}
	if _, err := m.Plan(t.Context(), true); err == nil {
		t.Error("plans an import")
	}
	uri, err := m.Create(t.Context())
	if err != nil || uri != file.URI(path) {
		t.Fatalf("%q, %v", uri, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Plan(t.Context(), false); err == nil {
		t.Error("plans to overwrite a key")
	}
	if _, err := m.Create(t.Context()); err == nil {
		t.Error("overwrote a key")
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the key was touched: %v", err)
	}
}
