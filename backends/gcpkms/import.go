package gcpkms

import (
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // the hash of the wrapping
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/bundlesign/bundlesign/backends/internal/keywrap"
	"github.com/bundlesign/bundlesign/capgo"
)

// origin is what the version of an imported key must show; nil for one that the
// service made.
type origin struct {
	public *capgo.PublicKey
	job    string
}

// Import implements backends.KeyMaker. The key travels as the service documents it
// (ImportCryptoKeyVersionRequest.wrapped_key in google/cloud/kms/v1/service.proto):
// its PKCS#8 form under AES-KWP (RFC 5649) with a key drawn for it, and that key
// under RSA-OAEP with the public key of an import job, whose private half is the
// service's.
func (m *Maker) Import(ctx context.Context, private *rsa.PrivateKey) (string, error) {
	der, err := keywrap.PKCS8(private)
	if err != nil {
		return "", &fault{kind: unusable, doing: "importing", text: err.Error()}
	}
	defer clear(der)
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		return "", &fault{kind: unusable, doing: "importing", text: err.Error()}
	}
	if !m.gate.Enter() {
		return "", errMakerClosed
	}
	defer m.gate.Leave()
	if err := m.ensure(ctx, true); err != nil {
		return "", err
	}
	job, wrappingKey, err := m.importJob(ctx)
	if err != nil {
		return "", err
	}
	wrapped, err := keywrap.RSAAESWrap(wrappingKey, crypto.SHA256, der)
	if err != nil {
		return "", &fault{kind: unusable, doing: "wrapping the key", text: err.Error()}
	}
	var version *kmspb.CryptoKeyVersion
	err = m.once(ctx, "importing the key", func(ctx context.Context, c *client) (err error) {
		version, err = c.ImportCryptoKeyVersion(ctx, &kmspb.ImportCryptoKeyVersionRequest{
			Parent: m.uri.Key, Algorithm: algorithm, ImportJob: job, WrappedKey: wrapped,
		})
		return err
	})
	if err != nil {
		return "", m.mayLeave(err)
	}
	return m.finish(ctx, version.GetName(), kmspb.CryptoKeyVersion_PENDING_IMPORT, &origin{public, job})
}

// checkOrigin refuses a version that came about in another way than it should have.
func (i *origin) checkOrigin(v *kmspb.CryptoKeyVersion) error {
	if i == nil {
		if imported(v) || v.GetGenerateTime() == nil {
			return &fault{kind: unusable, text: "the new version does not show that the service made its key"}
		}
		return nil
	}
	if v.GetImportJob() != i.job {
		return &fault{kind: unusable, text: fmt.Sprintf("the new version came from import job %q, want %s", plain(v.GetImportJob()), i.job)}
	}
	return nil
}
