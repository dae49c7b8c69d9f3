package vault_test

import (
	"sync"
	"testing"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/signer"
)

// Many keys with one credential that is wrong cost one try, not one each: Vault would
// lock the role out, and the right credential would not be taken either.
func TestKeysShareARefusal(t *testing.T) {
	s := vaulttest.New(t)
	public := s.CreateKey(keyName)
	s.Policy(keyName)
	roleID := s.AppRole(nil)
	file := s.File("11111111-2222-3333-4444-555555555555")
	uri := keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", file)
	logins := vault.NewLogins()
	var keys []*vault.Key
	for range 8 {
		keys = append(keys, openWith(t, uri, vault.Config{Logins: logins}))
	}
	var users sync.WaitGroup
	for _, k := range keys {
		users.Go(func() {
			_, err := k.Inspect(t.Context())
			fails(t, err, signer.ErrKeyUnusable, "refuses the credential", file)
		})
	}
	users.Wait()
	_, err := keys[0].Inspect(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "not tried again")
	replace(t, file, s.SecretID())
	for _, k := range keys {
		works(t, k, public)
	}
	// A key with another credential has nothing to do with it.
	replace(t, file, "wrong")
	other := s.File(s.SecretID())
	spoiled := openWith(t, uri, vault.Config{Logins: logins})
	_, err = spoiled.Inspect(t.Context())
	fails(t, err, signer.ErrKeyUnusable, "refuses the credential")
	works(t, openWith(t, keyURI(s, "auth", "approle", "role-id", roleID, "secret-id-file", other), vault.Config{Logins: logins}), public)
}
