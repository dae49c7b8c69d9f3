package gcpkms_test

import (
	"crypto/ed25519"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/signer"
)

const logName = ring + "/cryptoKeys/log/cryptoKeyVersions/1"

func logRig(t *testing.T) (*kmstest.Server, *gcpkms.LogKey, ed25519.PublicKey) {
	t.Helper()
	s := kmstest.New(t)
	public := addLogKey(t, s, logName)
	k := gcpkms.OpenLog(gcpkms.Options{URI: parse(t, gcpkms.Scheme+logName), ClientOptions: s.ClientOptions()})
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the log's key: %v", err)
		}
	})
	return s, k, public
}

func checkpoint(t *testing.T) audit.CheckpointText {
	t.Helper()
	text, err := audit.NewCheckpointText("log.example", tlog.Tree{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A key for apps would sign the text of a checkpoint as it signs a digest. It is
// never asked to.
func TestLogKeyIsNoAppKey(t *testing.T) {
	t.Parallel()
	s := kmstest.New(t)
	s.Generate(name)
	k := gcpkms.OpenLog(options(t, s))
	defer k.Close()
	for range 2 {
		_, err := k.SignCheckpoint(t.Context(), checkpoint(t))
		refused(t, err, signer.ErrKeyUnusable, "algorithm RSA_SIGN_RAW_PKCS1_2048, want EC_SIGN_ED25519")
	}
	if n := s.Calls("AsymmetricSign"); n != 0 {
		t.Errorf("the app's key was used %d times", n)
	}
}

func TestLogKeyBelievesNothingUnchecked(t *testing.T) {
	t.Parallel()
	rsaPEM := pemOf(t, rsaKey(t, 2048).Public())
	signed := func(f func(*kmspb.AsymmetricSignResponse)) func(any) {
		return func(a any) { f(a.(*kmspb.AsymmetricSignResponse)) }
	}
	public := func(f func(*kmspb.PublicKey)) func(any) { return func(a any) { f(a.(*kmspb.PublicKey)) } }
	for _, test := range []struct {
		name, method string
		send         func(any)
		kind         error
		says         string
	}{
		{"damaged", "AsymmetricSign", signed(func(r *kmspb.AsymmetricSignResponse) { r.Signature[0] ^= 1 }), signer.ErrUnavailable, "signature was damaged"},
		{"not confirmed", "AsymmetricSign", signed(func(r *kmspb.AsymmetricSignResponse) { r.VerifiedDataCrc32C = false }), signer.ErrUnavailable, "did not confirm"},
		{"by another", "AsymmetricSign", signed(func(r *kmspb.AsymmetricSignResponse) { r.Name = other }), signer.ErrKeyUnusable, other},
		{"another level", "AsymmetricSign", signed(func(r *kmspb.AsymmetricSignResponse) { r.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), signer.ErrKeyUnusable, "SOFTWARE"},
		{"too short", "AsymmetricSign", signed(func(r *kmspb.AsymmetricSignResponse) {
			r.Signature = r.Signature[:63]
			r.SignatureCrc32C = kmstest.CRC32C(r.Signature)
		}), signer.ErrKeyUnusable, "63 bytes, want 64"},
		{"public key damaged", "GetPublicKey", public(func(k *kmspb.PublicKey) { k.Pem += " " }), signer.ErrUnavailable, "public key was damaged"},
		{"public key of another", "GetPublicKey", public(func(k *kmspb.PublicKey) { k.Name = other }), signer.ErrKeyUnusable, other},
		{"RSA under a wrong name", "GetPublicKey", public(func(k *kmspb.PublicKey) {
			k.Pem, k.PemCrc32C = rsaPEM, kmstest.CRC32C([]byte(rsaPEM))
		}), signer.ErrKeyUnusable, "want an Ed25519 key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, k, key := logRig(t)
			heal := s.Inject(kmstest.Fault{Method: test.method, Send: test.send})
			signature, err := k.SignCheckpoint(t.Context(), checkpoint(t))
			refused(t, err, test.kind, test.says)
			if signature != nil {
				t.Error("a signature beside an error")
			}
			heal()
			signature, err = k.SignCheckpoint(t.Context(), checkpoint(t))
			if err != nil || !ed25519.Verify(key, checkpoint(t).Bytes(), signature) {
				t.Errorf("signature %x, error %v", signature, err)
			}
		})
	}
}
