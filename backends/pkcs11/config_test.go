package pkcs11_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// TestMistakes makes each mistake that a configuration or a token can have, on a
// real token, and reads what an operator is told.
func TestMistakes(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("good")
	tk.Generate(softhsmtest.RSAKey{Label: "twin", ID: []byte{1}})
	tk.Generate(softhsmtest.RSAKey{Label: "twin", ID: []byte{2}})
	tk.Generate(softhsmtest.RSAKey{Label: "short", Bits: 1024})
	tk.Generate(softhsmtest.RSAKey{Label: "long", Bits: 3072})
	tk.Generate(softhsmtest.RSAKey{Label: "no-sign", NoSign: true})
	tk.GenerateEC("ec")
	tk.Init("second")

	notAModule := filepath.Join(t.TempDir(), "module.so")
	if err := os.WriteFile(notAModule, []byte("not a module"), 0o600); err != nil {
		t.Fatal(err)
	}
	openPIN := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(openPIN, []byte(softhsmtest.PIN), 0o644); err != nil {
		t.Fatal(err)
	}
	noPIN := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(noPIN, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const nowhere = "/nonexistent/file"

	for _, test := range []struct {
		name   string
		change func(*pkcs11.Config)
		key    pkcs11.KeyOptions
		kind   error
		text   string
	}{
		{"no such token", func(c *pkcs11.Config) { c.Token.Label = "prod" }, pkcs11.KeyOptions{}, signer.ErrUnavailable, `no such token; the module shows `},
		{"no such slot", func(c *pkcs11.Config) { c.Token.HasSlotID = true }, pkcs11.KeyOptions{}, signer.ErrUnavailable, `no such token`},
		{"two tokens", func(c *pkcs11.Config) { c.Token = uri.Token{} }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "2 tokens match"},
		{"no module", func(c *pkcs11.Config) { c.ModulePath = nowhere }, pkcs11.KeyOptions{}, signer.ErrUnavailable, "there is no such module"},
		{"text for a module", func(c *pkcs11.Config) { c.ModulePath = notAModule }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "the module cannot be loaded: " + notAModule},
		{"another library", func(c *pkcs11.Config) { c.ModulePath = "libm.so.6" }, pkcs11.KeyOptions{}, signer.ErrUnavailable, "there is no such module"},
		{"a library that is no module", func(c *pkcs11.Config) { c.ModulePath = libm(t) }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "it has no function C_GetFunctionList"},
		{"no PIN", func(c *pkcs11.Config) { c.PIN = uri.PINSource{} }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "add pin-source="},
		{"no PIN file", func(c *pkcs11.Config) { c.PIN.Path = nowhere }, pkcs11.KeyOptions{}, signer.ErrUnavailable, nowhere},
		{"PIN that all can read", func(c *pkcs11.Config) { c.PIN.Path = openPIN }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "permissions 0644"},
		{"empty PIN file", func(c *pkcs11.Config) { c.PIN.Path = noPIN }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "does not hold a PIN"},
		{"credential without systemd", func(c *pkcs11.Config) { c.PIN = uri.PINSource{Credential: "pin"} }, pkcs11.KeyOptions{}, signer.ErrKeyUnusable, "CREDENTIALS_DIRECTORY is not set"},
		{"no such command", func(c *pkcs11.Config) { c.ChildCommand = []string{nowhere} }, pkcs11.KeyOptions{}, signer.ErrUnavailable, "starting the module's process"},
		{"no such key", nil, pkcs11.KeyOptions{Object: "none"}, signer.ErrKeyUnusable, "object=none in token=test (" + tk.ModulePath + "): the token has no such private key"},
		{"no such id", nil, pkcs11.KeyOptions{Object: "good", ID: "bad"}, signer.ErrKeyUnusable, "object=good;id=%62%61%64 in"},
		{"two keys", nil, pkcs11.KeyOptions{Object: "twin"}, signer.ErrKeyUnusable, "more than one private key matches"},
		{"1024 bits", nil, pkcs11.KeyOptions{Object: "short"}, signer.ErrKeyUnusable, "1024 bits, want 2048"},
		{"3072 bits", nil, pkcs11.KeyOptions{Object: "long"}, signer.ErrKeyUnusable, "3072 bits, want 2048"},
		{"EC key", nil, pkcs11.KeyOptions{Object: "ec"}, signer.ErrKeyUnusable, "found a key of type EC, want RSA"},
		{"key that may not sign", nil, pkcs11.KeyOptions{Object: "no-sign"}, signer.ErrKeyUnusable, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := softHSM(t, tk)
			if test.change != nil {
				test.change(&cfg)
			}
			if test.key == (pkcs11.KeyOptions{}) {
				test.key.Object = "good"
			}
			r := newRig(t, cfg)
			k := r.key(test.key)
			wantError(t, sign(t.Context(), t, k), test.kind, test.text)
			_, err := k.Inspect(t.Context())
			wantError(t, err, test.kind, test.text)
		})
	}

	t.Run("twins told apart by id", func(t *testing.T) {
		r := newRig(t, softHSM(t, tk))
		mustSign(t, r.key(pkcs11.KeyOptions{Object: "twin", ID: "\x01"}))
		mustSign(t, r.key(pkcs11.KeyOptions{ID: "\x02"}))
	})
	t.Run("two tokens with one label", func(t *testing.T) {
		tk.Init("second")
		cfg := softHSM(t, tk)
		cfg.Token.Label = "second"
		wantError(t, sign(t.Context(), t, newRig(t, cfg).key(pkcs11.KeyOptions{Object: "good"})), signer.ErrKeyUnusable, `2 tokens match ("second", "second"), exactly one must: add serial= to the URI`)
	})
	t.Run("module by name", func(t *testing.T) {
		cfg := softHSM(t, tk)
		cfg.ModulePath, cfg.ModuleName, cfg.ModuleDirs = "", "softhsm2", []string{filepath.Dir(tk.ModulePath)}
		k := newRig(t, cfg).key(pkcs11.KeyOptions{Object: "good"})
		mustSign(t, k)
		e, err := k.Inspect(t.Context())
		if err != nil || e.Custody.Evidence["module"] != tk.ModulePath {
			t.Errorf("evidence %+v, %v; want it to name the module", e, err)
		}
	})
	t.Run("PIN from a program", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pinomatic")
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+softhsmtest.PIN+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		cfg := softHSM(t, tk)
		cfg.PIN = uri.PINSource{Command: path}
		mustSign(t, newRig(t, cfg).key(pkcs11.KeyOptions{Object: "good"}))
	})
	t.Run("module not configured", func(t *testing.T) {
		r := newRig(t, softHSM(t, tk))
		t.Setenv("SOFTHSM2_CONF", nowhere)
		wantError(t, sign(t.Context(), t, r.key(pkcs11.KeyOptions{Object: "good"})), signer.ErrUnavailable, "C_Initialize failed: CKR_GENERAL_ERROR")
	})
}

// libm is a shared library that is on every system and no PKCS#11 module.
func libm(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/lib/*/libm.so.6", "/lib64/libm.so.6", "/usr/lib/*/libm.so.6"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("libm.so.6 was not found: this test knows where Debian and Fedora have it")
	return ""
}

func TestCustodyOfRealKeys(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("generated")
	tk.Generate(softhsmtest.RSAKey{Label: "extractable", Extractable: true})
	r := newRig(t, softHSM(t, tk))
	for label, want := range map[string]signer.CustodyLevel{
		"generated":   signer.NeverExtractable,
		"extractable": signer.Software,
	} {
		e, err := r.key(pkcs11.KeyOptions{Object: label}).Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Custody.Level != want {
			t.Errorf("%s: level %q, want %q; evidence %v", label, e.Custody.Level, want, e.Custody.Evidence)
		}
		if got := e.Custody.Evidence; got["token_label"] != tk.Label || got["module"] != tk.ModulePath || got["CKA_SIGN"] != "true" {
			t.Errorf("%s: evidence %v does not name token and module", label, got)
		}
	}
}
