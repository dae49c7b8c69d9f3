package gcpkms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap"
)

// The wrapping of an RSA key: the others that the service knows use SHA-1, a
// shorter RSA key, or cannot wrap something as long as an RSA key.
const (
	importMethod = kmspb.ImportJob_RSA_OAEP_4096_SHA256_AES_256
	wrappingBits = 4096
)

// importJob makes an import job, which ends by itself three days later, and returns
// its name and the public key that wraps for it. A job is used once.
//
// That the key is the service's rests on the connection to the service. For an HSM
// the job has an attestation of it too, which is not verified here; its digest is
// logged, beside that of the key, for those who want to check later.
func (m *Maker) importJob(ctx context.Context) (name string, public *rsa.PublicKey, err error) {
	var id [8]byte
	rand.Read(id[:])
	want := &kmspb.ImportJob{ImportMethod: importMethod, ProtectionLevel: m.uri.level()}
	jobID := "bundlesign-" + hex.EncodeToString(id[:])
	name = m.uri.ring() + "/importJobs/" + jobID
	err = m.once(ctx, "making an import job", func(ctx context.Context, c *client) error {
		_, err := c.CreateImportJob(ctx, &kmspb.CreateImportJobRequest{Parent: m.uri.ring(), ImportJobId: jobID, ImportJob: want})
		return err
	})
	if err != nil {
		return "", nil, err
	}
	var job *kmspb.ImportJob
	err = m.await(ctx, "waiting for the import job", func(ctx context.Context, c *client) (bool, error) {
		job, err = c.GetImportJob(ctx, &kmspb.GetImportJobRequest{Name: name})
		if err != nil {
			return false, err
		}
		switch state := job.GetState(); state {
		case kmspb.ImportJob_ACTIVE:
			return true, nil
		case kmspb.ImportJob_PENDING_GENERATION:
			return false, nil
		default:
			return false, &fault{kind: unusable, text: fmt.Sprintf("the import job is in state %s, want ACTIVE", state)}
		}
	})
	if err == nil {
		public, err = m.wrappingKey(name, job)
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w; the import job %s ends by itself within three days", err, jobID)
	}
	return name, public, nil
}

// wrappingKey returns the public key of a job that is what was asked for.
func (m *Maker) wrappingKey(name string, job *kmspb.ImportJob) (*rsa.PublicKey, error) {
	no := func(format string, a ...any) (*rsa.PublicKey, error) {
		return nil, &fault{kind: unusable, doing: "reading the wrapping key", text: fmt.Sprintf(format, a...)}
	}
	switch {
	case job.GetName() != name:
		return no("asked for import job %s, the answer is about %q", name, plain(job.GetName()))
	case job.GetImportMethod() != importMethod:
		return no("the import job has method %s, want %s", job.GetImportMethod(), importMethod)
	case job.GetProtectionLevel() != m.uri.level():
		return no("the import job has protection level %s, want %s", job.GetProtectionLevel(), m.uri.level())
	}
	block, rest := pem.Decode([]byte(job.GetPublicKey().GetPem()))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return no("the service did not send one PEM block PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return no("it cannot be parsed")
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok || public.N.BitLen() != wrappingBits || public.E < 65537 {
		return no("it is a %T, want RSA with %d bits and an exponent of at least 65537", parsed, wrappingBits)
	}
	key, attestation := sha256.Sum256(block.Bytes), sha256.Sum256(job.GetAttestation().GetContent())
	fields := []zap.Field{zap.String("import_job", name), zap.String("wrapping_key_sha256", hex.EncodeToString(key[:]))}
	if len(job.GetAttestation().GetContent()) > 0 {
		fields = append(fields, zap.String("attestation_format", job.GetAttestation().GetFormat().String()), zap.String("attestation_sha256", hex.EncodeToString(attestation[:])))
	}
	m.logger.Info("a key is about to be wrapped for an import job", fields...)
	return public, nil
}
