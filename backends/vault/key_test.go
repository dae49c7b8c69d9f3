package vault_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestKeysThatMustNotBeUsed(t *testing.T) {
	s, uri := withToken(t)
	for _, test := range []struct {
		name    string
		prepare func()
		says    string
	}{
		{"not yet", func() {
			s.ConfigureKey(keyName, map[string]any{"deletion_allowed": true})
			s.Delete("transit/keys/" + keyName)
		}, "found no such key"},
		{"wrong type", func() { s.Write("transit/keys/"+keyName, map[string]any{"type": "ecdsa-p256"}) }, `type "ecdsa-p256", want rsa-2048`},
		{"too long", func() { s.Write("transit/keys/"+keyName, map[string]any{"type": "rsa-3072"}) }, `type "rsa-3072", want rsa-2048`},
		{"symmetric", func() { s.Write("transit/keys/"+keyName, map[string]any{"type": "aes256-gcm96"}) }, `type "aes256-gcm96", want rsa-2048`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.prepare()
			t.Cleanup(func() {
				if test.name != "not yet" {
					s.DeleteKey(keyName)
				}
			})
			k := open(t, uri)
			refused(t, k, signer.ErrKeyUnusable, test.says)
		})
	}
}

func TestCustody(t *testing.T) {
	s, uri := withToken(t)
	for _, test := range []struct {
		config map[string]any
		want   signer.CustodyLevel
	}{
		{nil, signer.NonExtractable},
		{map[string]any{"exportable": true}, signer.Software},
		{map[string]any{"allow_plaintext_backup": true}, signer.Software},
	} {
		t.Run(fmt.Sprint(test.config), func(t *testing.T) {
			if test.config != nil {
				s.ConfigureKey(keyName, test.config)
			}
			e, err := open(t, uri).Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Custody.Level != test.want {
				t.Errorf("level %q, want %q; evidence %v", e.Custody.Level, test.want, e.Custody.Evidence)
			}
			for name, want := range map[string]string{"imported_key": "false", "deletion_allowed": "false", "cluster_name": "bundlesign-test", "key_version": "1"} {
				if got := e.Custody.Evidence[name]; got != want {
					t.Errorf("evidence %s is %q, want %q", name, got, want)
				}
			}
			if e.Custody.Evidence["vault_version"] == "" {
				t.Error("no evidence of Vault's version")
			}
			s.DeleteKey(keyName) // what was switched on cannot be switched off again
			s.CreateKey(keyName)
		})
	}
}

// A key goes on to sign with its version after it was rotated.
func TestRotated(t *testing.T) {
	s, uri := withToken(t)
	old := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, old)
	s.RotateKey(keyName)
	works(t, k, old)
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !e.PublicKey.Equal(old) || e.Custody.Evidence["latest_version"] != "2" {
		t.Errorf("public key %s and evidence %v, want the first version's key, latest 2", e.PublicKey.Fingerprint(), e.Custody.Evidence)
	}

	// The new version beside the old one.
	second := open(t, strings.Replace(uri, "version=1", "version=2", 1))
	works(t, second, s.PublicKey(keyName, 2))
	works(t, k, old)
}

func TestVersions(t *testing.T) {
	s, uri := withToken(t)
	for range 3 {
		s.RotateKey(keyName) // up to 4
	}
	first := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, first)

	s.ConfigureKey(keyName, map[string]any{"min_encryption_version": 2})
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	fails(t, err, signer.ErrKeyUnusable, "may not sign", "min_encryption_version is 2")
	refused(t, k, signer.ErrKeyUnusable, "min_encryption_version is 2")
	s.ConfigureKey(keyName, map[string]any{"min_encryption_version": 0})
	works(t, k, first)

	s.ConfigureKey(keyName, map[string]any{"min_decryption_version": 3})
	refused(t, k, signer.ErrKeyUnusable, "archived", "min_decryption_version is 3")
	s.ConfigureKey(keyName, map[string]any{"min_decryption_version": 1})
	works(t, k, first)

	s.TrimKey(keyName, 2)
	refused(t, k, signer.ErrKeyUnusable, "trimmed", "oldest that is left is 2")
}

func TestVersionThatIsNotThere(t *testing.T) {
	s := vaulttest.New(t)
	s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(nil)
	k := open(t, "hashivault://transit/"+keyName+"?version=7&address="+s.Address+"&ca-file="+s.CAFile+"&token-file="+file)
	refused(t, k, signer.ErrKeyUnusable, "no such version yet", "latest is 1")
	s.Write("sys/mounts/other", map[string]any{"type": "transit"})
	s.WritePolicy(`path "*" { capabilities = ["read", "update"] }`)
	for mount, says := range map[string]string{"other": "found no such key", "nowhere": "found no transit engine"} {
		k := open(t, "hashivault://"+mount+"/"+keyName+"?version=1&address="+s.Address+"&ca-file="+s.CAFile+"&token-file="+file)
		refused(t, k, signer.ErrKeyUnusable, says)
	}
}

// Deleted while in use, and created anew: which is another key.
func TestDeleted(t *testing.T) {
	s, uri := withToken(t)
	k := open(t, uri)
	works(t, k, s.PublicKey(keyName, 1))
	s.DeleteKey(keyName)
	refused(t, k, signer.ErrKeyUnusable, "found no such key")
	works(t, k, s.CreateKey(keyName))
}

// Batches of more than one request keep their order.
func TestLargeBatch(t *testing.T) {
	s, uri := withToken(t)
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	payloads := make([]capgo.Payload, 600)
	for i := range payloads {
		payloads[i] = payload(t, fmt.Sprint(i))
	}
	got, err := k.Sign(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	for i := range payloads {
		if err := public.Verify(payloads[i], got[i]); err != nil {
			t.Fatalf("signature %d: %v", i, err)
		}
	}
}

// Session keys are made without Vault's randomness if the policy does not give it.
func TestRandomIsOptional(t *testing.T) {
	s, uri := withToken(t)
	public := s.PublicKey(keyName, 1)
	k := open(t, uri)
	works(t, k, public)
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Custody.Evidence["random"]; got != "used" {
		t.Errorf("with the documented policy random bytes are %q, want used", got)
	}
	s.WritePolicy(`path "transit/sign/*" { capabilities = ["update"] }
		path "transit/keys/*" { capabilities = ["read"] }`)
	k = open(t, uri)
	works(t, k, public)
	e, err = k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Custody.Evidence["random"]; got == "used" {
		t.Error("random bytes are used against the policy")
	}
}
