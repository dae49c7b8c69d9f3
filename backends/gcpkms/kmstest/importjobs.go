package kmstest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// jobLife is how long an import job can be used.
const jobLife = 3 * 24 * time.Hour

// importJob is a wrapping key.
type importJob struct {
	info  *kmspb.ImportJob
	key   *rsa.PrivateKey
	polls int
}

// CreateImportJob implements the service.
func (s *Server) CreateImportJob(_ context.Context, r *kmspb.CreateImportJobRequest) (*kmspb.ImportJob, error) {
	if err := s.permit(CreateJob, r.GetParent()); err != nil {
		return nil, err
	}
	var wrappingKey func() (*rsa.PrivateKey, error)
	switch r.GetImportJob().GetImportMethod() {
	case kmspb.ImportJob_RSA_OAEP_3072_SHA256_AES_256:
		wrappingKey = wrappingKey3072
	case kmspb.ImportJob_RSA_OAEP_4096_SHA256_AES_256:
		wrappingKey = wrappingKey4096
	}
	if wrappingKey == nil || !resourceID.MatchString(r.GetImportJobId()) || r.GetImportJob().GetProtectionLevel() == 0 {
		return nil, status.Error(codes.InvalidArgument, "want an import_job_id, a protection level, and an import method that this server knows")
	}
	key, err := wrappingKey()
	if err != nil {
		return nil, status.Error(codes.Internal, "no wrapping key")
	}
	info := &kmspb.ImportJob{
		Name:            r.GetParent() + "/importJobs/" + r.GetImportJobId(),
		ImportMethod:    r.GetImportJob().GetImportMethod(),
		ProtectionLevel: r.GetImportJob().GetProtectionLevel(),
		CreateTime:      timestamppb.Now(),
		ExpireTime:      timestamppb.New(time.Now().Add(jobLife)),
		State:           kmspb.ImportJob_PENDING_GENERATION,
	}
	polls := s.patience()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[r.GetParent()] {
		return nil, status.Errorf(codes.NotFound, "KeyRing %s not found.", r.GetParent())
	}
	if _, ok := s.jobs[info.GetName()]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "ImportJob %s already exists.", info.GetName())
	}
	s.jobs[info.GetName()] = &importJob{info, key, polls}
	return proto.Clone(info).(*kmspb.ImportJob), nil
}

// The keys of all import jobs of a size are one, because to make one of 4096 bits
// takes seconds.
var (
	wrappingKey3072 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })
	wrappingKey4096 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 4096) })
)

// GetImportJob implements the service.
func (s *Server) GetImportJob(_ context.Context, r *kmspb.GetImportJobRequest) (*kmspb.ImportJob, error) {
	if err := s.permit(GetJob, r.GetName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	job, ok := s.jobs[r.GetName()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "ImportJob %s not found.", r.GetName())
	}
	if job.polls--; job.polls < 0 && job.info.GetState() == kmspb.ImportJob_PENDING_GENERATION {
		der, err := x509.MarshalPKIXPublicKey(job.key.Public())
		if err != nil {
			return nil, status.Error(codes.Internal, "no wrapping key")
		}
		job.info.State = kmspb.ImportJob_ACTIVE
		job.info.GenerateTime = timestamppb.Now()
		job.info.PublicKey = &kmspb.ImportJob_WrappingPublicKey{Pem: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
		if job.info.GetProtectionLevel() == kmspb.ProtectionLevel_HSM {
			job.info.Attestation = attestation()
		}
	}
	return proto.Clone(job.info).(*kmspb.ImportJob), nil
}

// ImportCryptoKeyVersion implements the service, for new versions. What cannot be
// unwrapped shows in the state of the version, later.
func (s *Server) ImportCryptoKeyVersion(_ context.Context, r *kmspb.ImportCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	if err := s.permit(CreateVersion, r.GetParent()); err != nil {
		return nil, err
	}
	if err := s.permit(UseJob, r.GetImportJob()); err != nil {
		return nil, err
	}
	if r.GetCryptoKeyVersion() != "" || len(r.GetWrappedKey()) == 0 || r.GetAlgorithm() == 0 {
		return nil, status.Error(codes.InvalidArgument, "want an algorithm and a wrapped key, for a new version")
	}
	s.mu.Lock()
	job, ok := s.jobs[r.GetImportJob()]
	active := ok && job.info.GetState() == kmspb.ImportJob_ACTIVE
	s.mu.Unlock()
	if !ok {
		return nil, status.Errorf(codes.NotFound, "ImportJob %s not found.", r.GetImportJob())
	}
	if !active || parent(r.GetImportJob()) != parent(r.GetParent()) {
		return nil, status.Errorf(codes.FailedPrecondition, "ImportJob %s is not active, or in another key ring.", r.GetImportJob())
	}
	info, name, err := s.number(r.GetParent())
	if err != nil {
		return nil, err
	}
	level := info.GetVersionTemplate().GetProtectionLevel()
	if level != job.info.GetProtectionLevel() {
		return nil, status.Error(codes.InvalidArgument, "the protection levels of the import job and of the key differ")
	}
	return s.unwrapped(name, level, job, r)
}

// unwrapped makes a version of what was imported.
func (s *Server) unwrapped(name string, level kmspb.ProtectionLevel, job *importJob, r *kmspb.ImportCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	key, reason := unwrap(job.key, r.GetWrappedKey(), r.GetAlgorithm())
	var public any
	if key != nil {
		public = key.Public()
	} else {
		public = job.key.Public() // never shown: the version is not enabled
	}
	v := s.add(name, key, public, func(v *kmspb.CryptoKeyVersion) {
		v.State = kmspb.CryptoKeyVersion_PENDING_IMPORT
		v.ProtectionLevel = level
		v.Algorithm = r.GetAlgorithm()
		v.ImportJob = r.GetImportJob()
	})
	return v.later(s.patience(), func(info *kmspb.CryptoKeyVersion) {
		if key == nil {
			info.State = kmspb.CryptoKeyVersion_IMPORT_FAILED
			info.ImportFailureReason = reason
			return
		}
		info.State = kmspb.CryptoKeyVersion_ENABLED
		info.ImportTime = timestamppb.Now()
		info.ReimportEligible = true
		attest(info)
	}), nil
}
