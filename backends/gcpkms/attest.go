package gcpkms

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
)

// Attest implements backends.Attester: the statement of the HSM about the key
// version, as it is, and the certificate chains to check it with, in PEM. How that
// is done is described in https://cloud.google.com/kms/docs/attest-key. The
// statement of a version that is disabled can be had too.
func (k *Key) Attest(ctx context.Context) (map[string][]byte, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	var version *kmspb.CryptoKeyVersion
	err := k.call(ctx, "reading the attestation", func(ctx context.Context, c *client) (err error) {
		version, err = c.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: k.uri.Version})
		if err != nil {
			return err
		}
		return k.same(version.GetName())
	})
	if err != nil {
		return nil, err
	}
	a := version.GetAttestation()
	if len(a.GetContent()) == 0 {
		return nil, &fault{kind: unusable, doing: "reading the attestation", text: fmt.Sprintf("the key version has none: only keys of protection level HSM do, this one is %s", version.GetProtectionLevel())}
	}
	about := fmt.Sprintf("key version: %s\nprotection level: %s\nattestation format: %s\n", version.GetName(), version.GetProtectionLevel(), a.GetFormat())
	files := map[string][]byte{
		"about.txt":       []byte(about),
		"attestation.dat": a.GetContent(),
	}
	chains := a.GetCertChains()
	for name, chain := range map[string][]string{
		"cavium-chain.pem":           chains.GetCaviumCerts(),
		"google-card-chain.pem":      chains.GetGoogleCardCerts(),
		"google-partition-chain.pem": chains.GetGooglePartitionCerts(),
	} {
		if len(chain) > 0 {
			files[name] = join(chain)
		}
	}
	return files, nil
}

// join writes PEM blocks one after another.
func join(blocks []string) []byte {
	var b strings.Builder
	for _, block := range blocks {
		b.WriteString(strings.TrimRight(block, "\n") + "\n")
	}
	return []byte(b.String())
}
