package gcpkms_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/signer"
)

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t *testing.T, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// An imported key keeps its public half, lives in a key of its own that takes
// nothing else, and is replaced by another import beside it.
func TestImport(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	s.SetPolls(2)
	var uris []string
	for range 2 {
		key := rsaKey(t, 2048)
		uri, err := m.Import(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if !signs(t, s, uri).Equal(publicKey(t, key)) {
			t.Error("another public key than that of what was imported")
		}
		uris = append(uris, uri)
	}
	if !strings.Contains(uris[0], "/cryptoKeyVersions/1?") || !strings.Contains(uris[1], "/cryptoKeyVersions/2?") {
		t.Errorf("imported as %q", uris)
	}
	if n := s.Calls("CreateImportJob"); n != 2 {
		t.Errorf("%d import jobs for 2 imports", n)
	}
	_, err := m.Create(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "it takes imported versions only")
}

// Nothing that goes wrong on the way of a key makes it leave in another wrapping, or
// be believed to have arrived.
func TestImportBelievesNothingUnchecked(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	key := rsaKey(t, 2048)
	weak, stranger := pemOf(t, rsaKey(t, 2048).Public()), pemOf(t, rsaKey(t, 2048).Public())
	job := func(f func(*kmspb.ImportJob)) func(any) { return func(a any) { f(a.(*kmspb.ImportJob)) } }
	version := func(f func(*kmspb.CryptoKeyVersion)) func(any) {
		return func(a any) { f(a.(*kmspb.CryptoKeyVersion)) }
	}
	for _, test := range []struct {
		name  string
		fault kmstest.Fault
		says  string
		sent  bool // the key left, wrapped
		left  int  // versions
	}{
		{"short wrapping key", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.PublicKey = &kmspb.ImportJob_WrappingPublicKey{Pem: weak} })}, "want RSA with 4096 bits", false, 0},
		{"no wrapping key", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.PublicKey = nil })}, "one PEM block", false, 0},
		{"another method", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.ImportMethod = kmspb.ImportJob_RSA_OAEP_3072_SHA1_AES_256 })}, "RSA_OAEP_3072_SHA1_AES_256", false, 0},
		{"another level", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE })}, "SOFTWARE, want HSM", false, 0},
		{"another job", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.Name = ring + "/importJobs/else" })}, "importJobs/else", false, 0},
		{"job over", kmstest.Fault{Method: "GetImportJob", Send: job(func(j *kmspb.ImportJob) { j.State = kmspb.ImportJob_EXPIRED })}, "EXPIRED, want ACTIVE", false, 0},
		{"damaged on its way", kmstest.Fault{Method: "ImportCryptoKeyVersion", Receive: func(r any) {
			wrapped := r.(*kmspb.ImportCryptoKeyVersionRequest).GetWrappedKey()
			wrapped[len(wrapped)-1] ^= 1
		}}, "could not import the key, and the version stays without one: the key cannot be unwrapped", true, 0},
		{"AES key damaged", kmstest.Fault{Method: "ImportCryptoKeyVersion", Receive: func(r any) {
			r.(*kmspb.ImportCryptoKeyVersionRequest).GetWrappedKey()[0] ^= 1
		}}, "the AES key cannot be unwrapped", true, 0},
		{"by another job", kmstest.Fault{Method: "GetCryptoKeyVersion", Send: version(func(v *kmspb.CryptoKeyVersion) { v.ImportJob = "else" })}, `import job "else"`, true, 1},
		{"another key arrived", kmstest.Fault{Method: "GetPublicKey", Send: func(a any) {
			r := a.(*kmspb.PublicKey)
			r.Pem, r.PemCrc32C = stranger, kmstest.CRC32C([]byte(stranger))
		}}, "imported was " + publicKey(t, key).Fingerprint(), true, 1},
		{"answer lost", kmstest.Fault{Method: "CreateImportJob", Lose: kmstest.Status(codes.Aborted, "lost")}, "Aborted", false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, sent := s.Keys(), s.Calls("ImportCryptoKeyVersion")
			heal := s.Inject(test.fault)
			defer heal()
			uri, err := m.Import(t.Context(), key)
			if err == nil || uri != "" || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("imported as %q, error %v, want one that says %q", uri, err, test.says)
			}
			if n := s.Calls("ImportCryptoKeyVersion") - sent; (n == 1) != test.sent || n > 1 {
				t.Errorf("the key was sent %d times; wanted at all: %t", n, test.sent)
			}
			if n := s.Keys() - before; n != test.left {
				t.Errorf("%d versions are left, want %d", n, test.left)
			}
			if said := strings.Contains(err.Error(), "keys versions destroy"); said != (test.left > 0) {
				t.Errorf("says what is left: %t, want %t: %v", said, test.left > 0, err)
			}
		})
	}
}

func TestImportPermissions(t *testing.T) {
	t.Parallel()
	for _, permission := range []string{kmstest.CreateJob, kmstest.GetJob, kmstest.UseJob} {
		s, m := makerRig(t)
		s.Deny(permission)
		_, err := m.Import(t.Context(), rsaKey(t, 2048))
		refused(t, err, signer.ErrKeyUnusable, permission, "roles/cloudkms.importer")
		if s.Keys() != 0 {
			t.Error("something was imported")
		}
	}
}

func TestImportCancelled(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	s.SetPolls(1 << 30)
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	s.Inject(kmstest.Fault{Method: "GetImportJob", Times: 1, Send: func(any) { close(asked) }})
	go func() { <-asked; cancel() }()
	_, err := m.Import(ctx, rsaKey(t, 2048))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "ends by itself within three days") {
		t.Errorf("error %v, want one that wraps context.Canceled and names the import job", err)
	}
}
