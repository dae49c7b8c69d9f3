package pkcs11

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/signer"
)

func TestFindModule(t *testing.T) {
	root := t.TempDir()
	touch := func(name string) string {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := Config{ModuleDirs: []string{root + "/*/pkcs11", root + "/pkcs11", root + "/none"}}
	find := func(name string) (string, error) {
		cfg.ModuleName = name
		return cfg.path()
	}
	if _, err := find("vendor"); !errors.Is(err, signer.ErrUnavailable) || !strings.Contains(err.Error(), "there is no vendor.so or libvendor.so in "+root) {
		t.Errorf("before it is installed: %v", err)
	}
	want := touch("x86/pkcs11/libvendor.so")
	touch("x86/pkcs11/libvendor2.so")
	if got, err := find("vendor"); got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if err := os.Symlink(want, filepath.Join(root, "x86/pkcs11/vendor.so")); err != nil {
		t.Fatal(err)
	}
	if got, err := find("vendor"); filepath.Dir(got) != filepath.Dir(want) || err != nil {
		t.Errorf("with a link to it beside it: %q, %v", got, err)
	}
	touch("pkcs11/vendor.so")
	if got, err := find("vendor"); !errors.Is(err, signer.ErrKeyUnusable) || !strings.Contains(err.Error(), "give module-path instead") {
		t.Errorf("two of them: %q, %v", got, err)
	}
}
