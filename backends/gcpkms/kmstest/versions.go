package kmstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// version is a key version.
type version struct {
	mu   sync.Mutex
	info *kmspb.CryptoKeyVersion
	key  any // the private key
	pem  string
}

// Generate has the server make an RSA key in its HSM, as version name, and returns
// the key, which the real service would never do.
func (s *Server) Generate(name string) *rsa.PrivateKey {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	now := timestamppb.Now()
	s.Add(name, key, key.Public(), func(v *kmspb.CryptoKeyVersion) {
		v.GenerateTime = now
		v.Attestation = &kmspb.KeyOperationAttestation{
			Format:     kmspb.KeyOperationAttestation_CAVIUM_V2_COMPRESSED,
			Content:    []byte("what the HSM says of the key"),
			CertChains: &kmspb.KeyOperationAttestation_CertificateChains{CaviumCerts: []string{"c"}, GoogleCardCerts: []string{"g"}},
		}
	})
	return key
}

// Add adds a version: enabled, HSM, RSA_SIGN_RAW_PKCS1_2048, unless edit changes
// that.
func (s *Server) Add(name string, private, public any, edit func(*kmspb.CryptoKeyVersion)) {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	v := &version{
		info: &kmspb.CryptoKeyVersion{
			Name:            name,
			State:           kmspb.CryptoKeyVersion_ENABLED,
			ProtectionLevel: kmspb.ProtectionLevel_HSM,
			Algorithm:       kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048,
			CreateTime:      timestamppb.Now(),
		},
		key: private,
		pem: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
	if edit != nil {
		edit(v.info)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[name] = v
}

// Edit changes what the server knows of a version: its state, for example.
func (s *Server) Edit(name string, edit func(*kmspb.CryptoKeyVersion)) {
	s.t.Helper()
	s.mu.Lock()
	v, ok := s.versions[name]
	s.mu.Unlock()
	if !ok {
		s.t.Fatalf("there is no key version %s", name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	edit(v.info)
}

func (v *version) snapshot() *kmspb.CryptoKeyVersion {
	v.mu.Lock()
	defer v.mu.Unlock()
	return proto.Clone(v.info).(*kmspb.CryptoKeyVersion)
}
