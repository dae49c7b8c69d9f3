package gcpkms_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/signer"
)

const ring = location + "/keyRings/live"

// maker returns the maker of a key that somebody else closes. query is the query
// of the key's URI.
func maker(t *testing.T, s *kmstest.Server, key, query string) *gcpkms.Maker {
	t.Helper()
	uri, err := gcpkms.ParseKeyURI("gcpkms://" + ring + "/cryptoKeys/" + key + query)
	if err != nil {
		t.Fatal(err)
	}
	return gcpkms.NewMaker(gcpkms.MakerOptions{URI: uri, Timeout: patience, Logger: zaptest.NewLogger(t), ClientOptions: s.ClientOptions()})
}

// openURI opens a key that somebody else closes.
func openURI(t *testing.T, s *kmstest.Server, uri string) *gcpkms.Key {
	t.Helper()
	k := gcpkms.Open(gcpkms.Options{URI: parse(t, uri), Logger: zaptest.NewLogger(t), ClientOptions: s.ClientOptions()})
	k.Hasten()
	return k
}

func TestMaker(t *testing.T) {
	t.Parallel()
	for query, level := range map[string]signer.CustodyLevel{
		"":                     signer.NeverExtractable,
		"?protection=software": signer.NonExtractable,
	} {
		t.Run("protection"+query, func(t *testing.T) {
			t.Parallel()
			s := kmstest.New(t)
			s.SetPolls(0)
			s.AddRing(ring)
			backendtest.RunMaker(t, backendtest.MakerHarness{
				Maker:    func(t *testing.T, name string) backends.KeyMaker { t.Helper(); return maker(t, s, name, query) },
				Open:     func(t *testing.T, uri string) signer.Key { t.Helper(); return openURI(t, s, uri) },
				Keys:     func(*testing.T) int { return s.Keys() },
				Extract:  func(t *testing.T, uri string) error { t.Helper(); return extract(t, s, uri) },
				Versions: true,
				Backend:  gcpkms.Backend,
				Created:  level,
				Imported: signer.NonExtractable,
				Break:    func(*testing.T) func() { s.Stop(); return s.Start },
			})
		})
	}
}

// extract makes the only call of the service that gives a key out, under another.
func extract(t *testing.T, s *kmstest.Server, uri string) error {
	t.Helper()
	c, err := kms.NewKeyManagementClient(t.Context(), s.ClientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	version, _, _ := strings.Cut(strings.TrimPrefix(uri, gcpkms.Scheme), "?")
	_, err = c.ExportTrustedKeyWrappedCryptoKeyVersion(t.Context(), &kmspb.ExportTrustedKeyWrappedCryptoKeyVersionRequest{Name: version})
	return err
}

func TestLogKey(t *testing.T) {
	t.Parallel()
	s := kmstest.New(t)
	public := addLogKey(t, s, logName)
	s.Generate(name)
	of := func(t *testing.T, version string) signer.LogKey {
		t.Helper()
		return gcpkms.OpenLog(gcpkms.Options{URI: parse(t, gcpkms.Scheme+version), Logger: zaptest.NewLogger(t), ClientOptions: s.ClientOptions()})
	}
	backendtest.RunLogKey(t, backendtest.LogHarness{
		Open:      func(t *testing.T) signer.LogKey { t.Helper(); return of(t, logName) },
		OpenOther: func(t *testing.T) signer.LogKey { t.Helper(); return of(t, name) },
		PublicKey: public,
		Break:     func(*testing.T) func() { s.Stop(); return s.Start },
	})
	if n := s.Calls("AsymmetricSign"); n == 0 {
		t.Error("the server never signed")
	}
}

func addLogKey(t *testing.T, s *kmstest.Server, name string) ed25519.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(name, private, public, func(v *kmspb.CryptoKeyVersion) { v.Algorithm = kmspb.CryptoKeyVersion_EC_SIGN_ED25519 })
	return public
}
