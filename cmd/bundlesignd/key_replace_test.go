package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
)

// Replacing a key as docs/operations.md says: the new key stands beside the old one,
// and signs only what names it, until the old one is retired.
func TestKeyIsReplaced(t *testing.T) {
	tk := softhsmtest.New(t)
	dir := initialized(t)
	o := operatorOf{t: t, dir: dir}
	make := func(name string) string {
		return o.does("create", tk.URI(name), "--name", name, "--app", "com.acme.shop", "--out", filepath.Join(dir, name+".made.pem"), "--yes")
	}
	paste(t, dir, make("acme-shop"))
	_, entry, _ := strings.Cut(make("acme-shop-2"), "keys:\n")
	entry, _, _ = strings.Cut(entry, "\n\n")
	edit(t, dir, "keys:\n", "keys:\n"+strings.TrimSuffix(entry, "\n")+"\n    only_on_request: true\n")

	d := startDaemon(t, dir)
	d.usable()
	oldKey, newKey := publicKey(t, filepath.Join(dir, "acme-shop.made.pem")), publicKey(t, filepath.Join(dir, "acme-shop-2.made.pem"))
	d.signs(oldKey, 1)
	byName := func(n int, key string) (*wire.Signature, error) {
		s := bundle(n)
		s.Key = key
		return d.client.SubmitAndWait(t.Context(), s, "")
	}
	sig, err := byName(2, "acme-shop-2")
	if err != nil || sig.Key != "acme-shop-2" || sig.KeyID != newKey.KeyID() {
		t.Fatalf("%+v, %v, want it signed with the new key", sig, err)
	}
	// Meanwhile one request gives a result for the native versions with either key.
	both := bundle(5)
	both.ChecksumFormat, both.Also = "legacy", []wire.AlsoKey{{Key: "acme-shop-2", ChecksumFormat: "hex"}}
	both.Files = []wire.SubmitFile{{FileName: "index.html", Digest: strings.Repeat("ab", 32)}}
	sig, err = d.client.SubmitAndWait(t.Context(), both, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CheckSigned(sig, client.Expect{Submit: both, PublicKey: oldKey, AlsoKeys: []*capgo.PublicKey{newKey}}); err != nil {
		t.Error(err)
	}
	o.does("disable", "acme-shop", "--yes", "--reason", "replaced by acme-shop-2")
	var p *wire.Problem
	if _, err := byName(3, ""); !errors.As(err, &p) || !strings.Contains(p.Detail, "replaced by acme-shop-2") {
		t.Errorf("got %v, want that the old key is retired", err)
	}
	both.Version = "1.0.6"
	if _, err := d.client.SubmitAndWait(t.Context(), both, ""); !errors.As(err, &p) || !strings.Contains(p.Detail, "replaced by acme-shop-2") {
		t.Errorf("got %v, want that nothing is signed with both any more", err)
	}
	if sig, err := byName(4, "acme-shop-2"); err != nil || sig.KeyID != newKey.KeyID() {
		t.Errorf("%+v, %v, want it signed with the new key", sig, err)
	}
	if shown := o.does("show", "acme-shop-2"); !strings.Contains(shown, "only on request") {
		t.Errorf("show printed\n%s", shown)
	}
	// Both are there, with what tells one from the other.
	list := o.does("list")
	for _, want := range []string{"disabled", oldKey.KeyID(), newKey.KeyID()} {
		if !strings.Contains(list, want) {
			t.Errorf("found no %q in\n%s", want, list)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "pins")); err != nil {
		t.Errorf("attempts to log in are recorded nowhere: %v", err)
	}
}
