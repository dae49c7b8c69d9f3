package gcpkms_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/signer"
)

var (
	_ backends.Attester = (*gcpkms.Key)(nil)
	_ backends.KeyMaker = (*gcpkms.Maker)(nil)
)

func TestAttest(t *testing.T) {
	t.Parallel()
	s, k, _ := rig(t)
	s.Edit(name, func(v *kmspb.CryptoKeyVersion) {
		v.State = kmspb.CryptoKeyVersion_DISABLED // it can be asked about
		v.Attestation.CertChains = &kmspb.KeyOperationAttestation_CertificateChains{
			CaviumCerts: []string{"a\n", "b"}, GooglePartitionCerts: []string{"c"},
		}
	})
	got, err := k.Attest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"about.txt":                  []byte("key version: " + name + "\nprotection level: HSM\nattestation format: CAVIUM_V2_COMPRESSED\n"),
		"attestation.dat":            []byte("what the HSM says of the key"),
		"cavium-chain.pem":           []byte("a\nb\n"),
		"google-partition-chain.pem": []byte("c\n"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for file := range got {
		if strings.ContainsAny(file, "/\\") {
			t.Errorf("%q is no plain file name", file)
		}
	}
	s.Edit(name, func(v *kmspb.CryptoKeyVersion) { v.Attestation = nil })
	_, err = k.Attest(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "has none")
}
