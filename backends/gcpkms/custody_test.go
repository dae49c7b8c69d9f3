package gcpkms_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestCustody(t *testing.T) {
	t.Parallel()
	level := func(l kmspb.ProtectionLevel) func(*kmspb.CryptoKeyVersion) {
		return func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = l }
	}
	for _, test := range []struct {
		name string
		edit func(*kmspb.CryptoKeyVersion)
		want signer.CustodyLevel
		has  map[string]string
	}{
		{"made in the HSM", func(*kmspb.CryptoKeyVersion) {}, signer.NeverExtractable, map[string]string{"protection_level": "HSM", "imported": "false", "attestation_format": "CAVIUM_V2_COMPRESSED", "attestation_certificates": "2"}},
		{"made in an HSM of our own", level(kmspb.ProtectionLevel_HSM_SINGLE_TENANT), signer.NeverExtractable, nil},
		{"import job", func(v *kmspb.CryptoKeyVersion) { v.ImportJob = "j" }, signer.NonExtractable, map[string]string{"imported": "true", "import_job": "j"}},
		{"import time", func(v *kmspb.CryptoKeyVersion) { v.ImportTime = &timestamppb.Timestamp{Seconds: 1e9} }, signer.NonExtractable, map[string]string{"import_time": "2001-09-09T01:46:40Z"}},
		{"could be imported again", func(v *kmspb.CryptoKeyVersion) { v.ReimportEligible = true }, signer.NonExtractable, map[string]string{"imported": "true"}},
		{"no time of generation", func(v *kmspb.CryptoKeyVersion) { v.GenerateTime = nil }, signer.NonExtractable, nil},
		{"no attestation", func(v *kmspb.CryptoKeyVersion) { v.Attestation = nil }, signer.NeverExtractable, map[string]string{"attestation": "none"}},
		{"software", level(kmspb.ProtectionLevel_SOFTWARE), signer.NonExtractable, map[string]string{"protection_level": "SOFTWARE"}},
		{"external", level(kmspb.ProtectionLevel_EXTERNAL), signer.Software, map[string]string{"protection_level": "EXTERNAL"}},
		{"external in a VPC", level(kmspb.ProtectionLevel_EXTERNAL_VPC), signer.Software, nil},
		{"may be wrapped", func(v *kmspb.CryptoKeyVersion) {
			v.ProtectionLevel = kmspb.ProtectionLevel_HSM_SINGLE_TENANT
			v.TrustedWrappingEnabled = true
		}, signer.Software, map[string]string{"trusted_wrapping_enabled": "true"}},
		{"unspecified", level(0), signer.Software, nil},
		{"of a later day", level(99), signer.Software, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, k, public := rig(t)
			s.Edit(name, test.edit)
			e, err := k.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Custody.Level != test.want || e.Custody.Backend != "gcpkms" {
				t.Errorf("level %q by %q, want %q; evidence %v", e.Custody.Level, e.Custody.Backend, test.want, e.Custody.Evidence)
			}
			for name, want := range test.has {
				if got := e.Custody.Evidence[name]; got != want {
					t.Errorf("evidence %s is %q, want %q", name, got, want)
				}
			}
			works(t, k, public)
		})
	}
}

func TestAttestationIsNamed(t *testing.T) {
	t.Parallel()
	_, k, _ := rig(t)
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what the HSM says of the key"))
	if got := e.Custody.Evidence["attestation_sha256"]; got != hex.EncodeToString(digest[:]) {
		t.Errorf("attestation_sha256 %q, want %x", got, digest)
	}
}

func TestProtectionHSM(t *testing.T) {
	t.Parallel()
	for _, inspected := range []bool{false, true} {
		s := kmstest.New(t)
		public := publicKey(t, s.Generate(name))
		o := options(t, s)
		o.URI = parse(t, "gcpkms://"+name+"?protection=hsm")
		k := open(t, o)
		if inspected {
			if _, err := k.Inspect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		works(t, k, public)
		s.Edit(name, func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE })
		_, err := k.Inspect(t.Context())
		refused(t, err, signer.ErrKeyUnusable, "demands protection=hsm", "SOFTWARE")
		_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrKeyUnusable, "demands protection=hsm", "SOFTWARE")
	}
}

// Keys that devices do not accept, whatever the service says of them.
func TestUnfitKeys(t *testing.T) {
	t.Parallel()
	large, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	three := rsa.PublicKey{N: small.N, E: 3}
	for _, test := range []struct {
		name            string
		private, public any
		algorithm       kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm
		says            string
	}{
		{"adds a DigestInfo", small, &small.PublicKey, kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256, "without RAW the service adds a DigestInfo"},
		{"PSS", small, &small.PublicKey, kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256, "its algorithm is RSA_SIGN_PSS_2048_SHA256, want RSA_SIGN_RAW_PKCS1_2048"},
		{"decrypts", small, &small.PublicKey, kmspb.CryptoKeyVersion_RSA_DECRYPT_OAEP_2048_SHA256, "its algorithm is RSA_DECRYPT_OAEP_2048_SHA256"},
		{"3072 bits", large, &large.PublicKey, kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_3072, "its algorithm is RSA_SIGN_RAW_PKCS1_3072"},
		{"3072 bits under a wrong name", large, &large.PublicKey, kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, "3072"},
		{"a curve under a wrong name", curve, &curve.PublicKey, kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, "want an RSA key"},
		{"exponent 3", small, &three, kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, "65537"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := kmstest.New(t)
			s.Add(name, test.private, test.public, func(v *kmspb.CryptoKeyVersion) { v.Algorithm = test.algorithm })
			_, err := open(t, options(t, s)).Inspect(t.Context())
			refused(t, err, signer.ErrKeyUnusable, test.says)
		})
	}
}
