package backends_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestCheckURI(t *testing.T) {
	for uri, want := range map[string]string{
		"file:/etc/key.pem": "",
		"pkcs11:token=t;object=o?module-path=/m.so&pin-source=/p": "",
		"file:key.pem":    "file URI: is not an absolute path",
		"pkcs11:object=o": "pkcs11 URI: has no module-path",
		"gcpkms://x":      "gcpkms URI: ",
		"hashivault://x":  "hashivault URI: ",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1":  "",
		"hashivault://transit/acme?version=1&address=https://vault:8200&token-file=/t": "",
		"awskms://x":       "unknown URI scheme; want file:",
		"/etc/key.pem":     "found no URI scheme; want file:",
		"":                 "found no URI scheme",
		"FILE:/etc/k":      `begins with "file:"`,
		"PKCS11:object=oo": `begins with "pkcs11:"`,
	} {
		err := backends.CheckURI(uri)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
		set := newSet(t)
		k, openErr := set.Open(backends.Spec{Name: "acme", URI: uri})
		if (openErr == nil) != (err == nil) {
			t.Errorf("%s: CheckURI says %v, Open says %v", uri, err, openErr)
		}
		if openErr != nil && !strings.Contains(openErr.Error(), `key "acme": `) {
			t.Errorf("%s: the error does not name the key: %v", uri, openErr)
		}
		if openErr == nil {
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRedactURI(t *testing.T) {
	const pin = "s3cr3t"
	for uri, want := range map[string]string{
		"file:/etc/key.pem": "file:/etc/key.pem",
		"pkcs11:object=o?module-path=/m.so&pin-source=/run/pin":    "pkcs11:object=o?module-path=/m.so&pin-source=/run/pin",
		"pkcs11:object=o?module-path=/m.so&pin-value=" + pin:       "pkcs11:[not shown: not a valid key URI]",
		"pkcs11:object=o?module-path=/m.so&pin%2Dvalue=" + pin:     "pkcs11:[not shown: not a valid key URI]",
		"pkcs11:object=o;pin=" + pin + "?module-path=/m.so":        "pkcs11:[not shown: not a valid key URI]",
		"hashivault://" + pin + "@host":                            "hashivault:[not shown: not a valid key URI]",
		pin:                                                        "[not shown: not a valid key URI]",
		pin + ":x":                                                 "[not shown: not a valid key URI]",
		"pkcs11:object=o?module-path=/m.so&pin-source=" + pin + "": "pkcs11:[not shown: not a valid key URI]",
	} {
		got := backends.RedactURI(uri)
		if got != want || strings.Contains(got, pin) {
			t.Errorf("%s is shown as %s, want %s", uri, got, want)
		}
		if err := backends.CheckURI(uri); err != nil && strings.Contains(err.Error(), pin) {
			t.Errorf("the error about it repeats the PIN: %v", err)
		}
	}
}

// TestKeysOfATokenShareAProcess opens two keys of one token, and closes one.
func TestKeysOfATokenShareAProcess(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("one")
	tk.GenerateKey("two")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	set := backends.NewSet(backends.Options{Logger: zap.New(core), ChildCommand: []string{exe, childArg}})
	keys := make([]signer.Key, 2)
	for i, label := range []string{"one", "two"} {
		if keys[i], err = set.Open(backends.Spec{Name: label, URI: tk.URI(label)}); err != nil {
			t.Fatal(err)
		}
		if _, err := keys[i].Sign(t.Context(), []capgo.Payload{capgo.SessionKeyPayload()}); err != nil {
			t.Fatal(err)
		}
	}
	if n := logs.FilterMessage("pkcs11 module opened").Len(); n != 1 {
		t.Errorf("%d processes for two keys of one token, want 1", n)
	}
	if err := keys[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := keys[1].Sign(t.Context(), []capgo.Payload{capgo.SessionKeyPayload()}); err != nil {
		t.Errorf("with the other key of the token closed: %v", err)
	}
	for range 2 {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := keys[1].Sign(t.Context(), []capgo.Payload{capgo.SessionKeyPayload()}); err == nil {
		t.Error("a key works after its Set was closed")
	}
	if _, err := set.Open(backends.Spec{URI: "file:/x"}); err == nil {
		t.Error("a closed Set opened a key")
	}
}

func TestOpenWithoutAChildCommand(t *testing.T) {
	set := backends.NewSet(backends.Options{Logger: zap.NewNop()})
	defer set.Close()
	_, err := set.Open(backends.Spec{Name: "acme", URI: "pkcs11:object=o?module-path=/m.so"})
	if err == nil || !strings.Contains(err.Error(), "no command was given") {
		t.Errorf("error %v, want it to say that there is no command", err)
	}
}
