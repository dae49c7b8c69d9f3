package gcpkms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/signer"
)

func TestGenerated(t *testing.T) {
	t.Parallel()
	s := kmstest.New(t)
	conformance(t, s, s.Generate(name), signer.NeverExtractable)
}

func TestImported(t *testing.T) {
	t.Parallel()
	s := kmstest.New(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(name, key, key.Public(), func(v *kmspb.CryptoKeyVersion) {
		v.ImportJob = location + "/keyRings/live/importJobs/move"
		v.ImportTime = timestamppb.Now()
	})
	conformance(t, s, key, signer.NonExtractable)
}

func conformance(t *testing.T, s *kmstest.Server, key *rsa.PrivateKey, level signer.CustodyLevel) {
	t.Helper()
	backendtest.Run(t, backendtest.Harness{
		Open:       func(t *testing.T) signer.Key { t.Helper(); return openAny(t, s) },
		PublicKey:  publicKey(t, key),
		PrivateKey: key,
		Backend:    "gcpkms",
		Level:      level,
		Break:      func(*testing.T) func() { s.Stop(); return s.Start },
		Secrets:    []string{base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key))},
	})
}
