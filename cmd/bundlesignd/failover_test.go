package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
)

// One private key is in a real Vault and, as its replica, in a Cloud KMS. While Vault is
// sealed the other signs, the status says so, and afterwards Vault signs again.
func TestFailOverBetweenBackends(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v := vaulttest.New(t)
	v.ImportKey("shop", key, nil)
	v.Policy("shop")
	token, _ := v.Token(nil)
	first := fmt.Sprintf("hashivault://transit/shop?version=1&address=%s&ca-file=%s&token-file=%s", v.Address, v.CAFile, token)

	k := kmstest.NewTLS(t, func(token string) bool { return token != "" })
	t.Setenv("SSL_CERT_FILE", k.CAFile())
	const version = "projects/acme-prod/locations/europe-west3/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/1"
	k.GenerateAs(version, key)
	second := fmt.Sprintf("gcpkms://%s?endpoint=%s&credentials=%s", version, k.Addr(), serviceAccount(t))

	dir := initialized(t)
	if err := os.WriteFile(filepath.Join(dir, "shop.pub.pem"), []byte(public.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`state_dir: state
socket: {path: bundlesignd.sock}
keys:
  - {name: shop, uri: %q, replicas: [%q], public_key: shop.pub.pem, apps: [com.acme.shop], timeout: 2s}
log: {origin: example.com/test}
`, first, second)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d := startDaemon(t, dir)
	inUse := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			got, err := d.client.Key(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Replicas) == 2 && got.Replicas[want].InUse {
				t.Logf("replica %d is in use after %s", want, time.Since(began).Round(time.Millisecond))
				other := got.Replicas[1-want]
				if want == 1 && (other.State == "ok" || other.Detail == "") {
					t.Errorf("Vault is %s: %q, want why it is not in use", other.State, other.Detail)
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("replica %d is not in use: %+v", want, got.Replicas)
			}
		}
	}
	inUse(0)
	if got := d.signs(public, 1); got.Custody.Backend != "vault" {
		t.Errorf("custody %+v, want Vault's", got.Custody)
	}
	v.Seal()
	if got := d.signs(public, 2); got.Custody.Backend != "gcpkms" {
		t.Errorf("custody %+v, want Cloud KMS's", got.Custody)
	}
	inUse(1)
	if st, err := d.client.Status(t.Context()); err != nil || st.State != "degraded" {
		t.Errorf("status %+v, %v, want it degraded", st, err)
	}
	v.Unseal()
	inUse(0)
	if got := d.signs(public, 3); got.Custody.Backend != "vault" {
		t.Errorf("custody %+v, want Vault's again", got.Custody)
	}
	d.logIsWhole()
	d.stop()
}
