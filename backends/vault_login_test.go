package backends_test

import (
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// The old and the new version of a key stand side by side, and log in with the same
// wrapped secret id, which can be taken out of its wrapping once.
func TestKeysShareAWrappedSecretID(t *testing.T) {
	s := vaulttest.New(t)
	s.CreateKey("acme")
	s.RotateKey("acme")
	s.Policy("acme")
	roleID := s.AppRole(nil)
	file := s.File(s.Wrap("auth/approle/role/bundlesignd/secret-id"))
	uri := "hashivault://transit/acme?version=1&address=" + s.Address + "&ca-file=" + s.CAFile +
		"&auth=approle&wrapped=true&role-id=" + roleID + "&secret-id-file=" + file
	set := newSet(t)
	p, err := capgo.ChecksumPayload(capgo.Digest{1}, capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[int]signer.Key{}
	for version, uri := range map[int]string{1: uri, 2: strings.Replace(uri, "version=1", "version=2", 1)} {
		if keys[version], err = set.Open(backends.Spec{Name: "acme", URI: uri}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // with the secret id from the file, and the one in memory
		for version, k := range keys {
			got, err := k.Sign(t.Context(), []capgo.Payload{p})
			if err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			if err := s.PublicKey("acme", version).Verify(p, got[0]); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
		}
		s.RevokeLogins("approle")
	}
}
