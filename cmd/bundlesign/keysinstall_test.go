package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
)

// fakeKeys answers every question with one key.
func fakeKeys(t *testing.T, key *wire.Key) (socket string) {
	t.Helper()
	// Short: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, wire.KeyList{Keys: []wire.Key{*key}}) })
	mux.HandleFunc("GET /v1/keys/{name}", func(w http.ResponseWriter, _ *http.Request) { answer(w, key) })
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return socket
}

// A key that the daemon lies about, or that will not sign this app's updates, is not installed.
func TestKeysInstallRefuses(t *testing.T) {
	public := testPublicKey(t)
	for name, c := range map[string]struct {
		change func(*wire.Key)
		flag   string
		code   int
		want   string
	}{
		"nothing wrong":          {func(*wire.Key) {}, "--json", exitOK, ""},
		"the fingerprint":        {func(k *wire.Key) { k.Fingerprint = "SHA256:00" }, "--force", exitUntrusted, "fingerprint"},
		"the key":                {func(k *wire.Key) { k.PublicKey = "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n" }, "--force", exitUntrusted, "public_key"},
		"another key's name":     {func(k *wire.Key) { k.Name = "other" }, "--force", exitUntrusted, `found "other", asked for "shop"`},
		"disabled":               {func(k *wire.Key) { k.State, k.Detail = "disabled", "lost\x1b[2J" }, "--force", exitBadInput, `key shop is disabled: lost\x1b[2J`},
		"quarantined":            {func(k *wire.Key) { k.State = "quarantined" }, "--force", exitBadInput, "key shop is quarantined"},
		"unavailable":            {func(k *wire.Key) { k.State = "unavailable" }, "--json", exitOK, "warning: key shop is unavailable now"},
		"for another app":        {func(k *wire.Key) { k.Apps = []string{"com.acme.bank"} }, "--json", exitBadInput, "for which the daemon does not sign with key shop (its apps: com.acme.bank)"},
		"for another app, force": {func(k *wire.Key) { k.Apps = nil }, "--force", exitOK, "warning: the daemon does not sign for com.acme.shop"},
	} {
		t.Run(name, func(t *testing.T) {
			key := &wire.Key{Name: "shop", Apps: []string{"com.acme.shop"}, KeyID: public.KeyID(), Fingerprint: public.Fingerprint(), PublicKey: public.PEM(), State: "ok"}
			c.change(key)
			config := filepath.Join(t.TempDir(), "capacitor.config.json")
			const before = `{"appId": "com.acme.shop"}`
			if err := os.WriteFile(config, []byte(before), 0o640); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			code := run([]string{"keys", "install", "shop", "--socket", fakeKeys(t, key), "--config", config, c.flag}, strings.NewReader(""), &out, &errs, func(string) string { return "" })
			if code != c.code || !strings.Contains(errs.String(), c.want) {
				t.Errorf("found exit code %d, want %d, and %q in:\n%s", code, c.code, c.want, &errs)
			}
			after, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			if changed := string(after) != before; changed != (c.code == exitOK) {
				t.Errorf("the file is %s", after)
			}
			if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the file has mode %v, %v; want 0640", info.Mode(), err)
			}
		})
	}
}

// testPublicKey is the key of the updater's own contract tests.
func testPublicKey(t *testing.T) *capgo.PublicKey {
	t.Helper()
	data, err := os.ReadFile("testdata/official/public.pem")
	if err != nil {
		t.Fatal(err)
	}
	key, err := capgo.ParsePublicKeyPEM(data)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
