package kmstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path"
	"strconv"
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

	// A version that is still being made says so when it is asked about, this
	// many times; after that finish says what became of it.
	polls  int
	finish func(*kmspb.CryptoKeyVersion)
}

// Generate has the server make an RSA key in its HSM, as version name, and returns
// the key, which the real service would never do.
func (s *Server) Generate(name string) *rsa.PrivateKey {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	s.GenerateAs(name, key)
	return key
}

// GenerateAs is as Generate, but with a key that the caller has: to make one takes
// longer than most tests.
func (s *Server) GenerateAs(name string, key *rsa.PrivateKey) {
	s.t.Helper()
	now := timestamppb.Now()
	s.Add(name, key, key.Public(), func(v *kmspb.CryptoKeyVersion) {
		v.GenerateTime = now
		attest(v)
	})
}

// attest adds the statement of the HSM, if that has the key.
func attest(v *kmspb.CryptoKeyVersion) {
	if v.GetProtectionLevel() == kmspb.ProtectionLevel_HSM {
		v.Attestation = attestation()
	}
}

func attestation() *kmspb.KeyOperationAttestation {
	return &kmspb.KeyOperationAttestation{
		Format:     kmspb.KeyOperationAttestation_CAVIUM_V2_COMPRESSED,
		Content:    []byte("what the HSM says of the key"),
		CertChains: &kmspb.KeyOperationAttestation_CertificateChains{CaviumCerts: []string{"c"}, GoogleCardCerts: []string{"g"}},
	}
}

// Add adds a version: enabled, HSM, RSA_SIGN_RAW_PKCS1_2048, unless edit changes
// that. Its key and key ring are added if they are missing.
func (s *Server) Add(name string, private, public any, edit func(*kmspb.CryptoKeyVersion)) {
	s.t.Helper()
	s.add(name, private, public, edit)
}

func (s *Server) add(name string, private, public any, edit func(*kmspb.CryptoKeyVersion)) *version {
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
	s.adopt(v.info)
	return v
}

// adopt adds the key and the key ring of a version that was added by itself. The
// caller holds mu.
func (s *Server) adopt(v *kmspb.CryptoKeyVersion) {
	name := parent(v.GetName())
	key, ok := s.keys[name]
	if !ok {
		s.rings[parent(name)] = true
		key = &cryptoKey{info: &kmspb.CryptoKey{
			Name:    name,
			Purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN,
			VersionTemplate: &kmspb.CryptoKeyVersionTemplate{
				ProtectionLevel: v.GetProtectionLevel(), Algorithm: v.GetAlgorithm(),
			},
		}}
		s.keys[name] = key
	}
	// Tests number versions as they like.
	if n, err := strconv.Atoi(path.Base(v.GetName())); err == nil {
		key.last = max(key.last, n)
	}
}

// Keys counts the versions that hold a private key.
func (s *Server) Keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, v := range s.versions {
		switch v.snapshot().GetState() {
		case kmspb.CryptoKeyVersion_IMPORT_FAILED, kmspb.CryptoKeyVersion_GENERATION_FAILED, kmspb.CryptoKeyVersion_DESTROYED:
		default:
			n++
		}
	}
	return n
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
