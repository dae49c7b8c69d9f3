package kmstest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"slices"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// CreateCryptoKeyVersion implements the service.
func (s *Server) CreateCryptoKeyVersion(_ context.Context, r *kmspb.CreateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	if err := s.permit(CreateVersion, r.GetParent()); err != nil {
		return nil, err
	}
	return s.generate(r.GetParent())
}

// generate makes a version of a key.
func (s *Server) generate(key string) (*kmspb.CryptoKeyVersion, error) {
	info, name, err := s.number(key)
	if err != nil {
		return nil, err
	}
	if info.GetImportOnly() {
		return nil, status.Errorf(codes.FailedPrecondition, "CryptoKey %s is import only.", key)
	}
	template := info.GetVersionTemplate()
	private, public, err := generate(template.GetAlgorithm())
	if err != nil {
		return nil, err
	}
	v := s.add(name, private, public, func(v *kmspb.CryptoKeyVersion) {
		v.State = kmspb.CryptoKeyVersion_PENDING_GENERATION
		v.ProtectionLevel = template.GetProtectionLevel()
		v.Algorithm = template.GetAlgorithm()
	})
	return v.later(s.patience(), func(info *kmspb.CryptoKeyVersion) {
		info.State = kmspb.CryptoKeyVersion_ENABLED
		info.GenerateTime = timestamppb.Now()
		attest(info)
	}), nil
}

func generate(algorithm kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm) (private, public any, err error) {
	switch algorithm {
	case kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256:
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, status.Error(codes.Internal, "no key")
		}
		return key, key.Public(), nil
	case kmspb.CryptoKeyVersion_EC_SIGN_ED25519:
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, status.Error(codes.Internal, "no key")
		}
		return key, public, nil
	}
	return nil, nil, status.Errorf(codes.InvalidArgument, "this server makes no keys for %s", algorithm)
}

// UpdateCryptoKeyVersion implements the service: it enables and disables.
func (s *Server) UpdateCryptoKeyVersion(_ context.Context, r *kmspb.UpdateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	want := r.GetCryptoKeyVersion().GetState()
	if !slices.Equal(r.GetUpdateMask().GetPaths(), []string{"state"}) ||
		(want != kmspb.CryptoKeyVersion_ENABLED && want != kmspb.CryptoKeyVersion_DISABLED) {
		return nil, status.Error(codes.InvalidArgument, "only the state can be updated, to ENABLED or DISABLED")
	}
	return s.move(r.GetCryptoKeyVersion().GetName(), UpdateVersion, want,
		kmspb.CryptoKeyVersion_ENABLED, kmspb.CryptoKeyVersion_DISABLED)
}

// DestroyCryptoKeyVersion implements the service: it schedules the destruction.
func (s *Server) DestroyCryptoKeyVersion(_ context.Context, r *kmspb.DestroyCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return s.move(r.GetName(), DestroyVersion, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED,
		kmspb.CryptoKeyVersion_ENABLED, kmspb.CryptoKeyVersion_DISABLED)
}

// RestoreCryptoKeyVersion implements the service.
func (s *Server) RestoreCryptoKeyVersion(_ context.Context, r *kmspb.RestoreCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return s.move(r.GetName(), RestoreVersion, kmspb.CryptoKeyVersion_DISABLED, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED)
}

// move changes the state of a version that is in one of some states.
func (s *Server) move(name, permission string, to kmspb.CryptoKeyVersion_CryptoKeyVersionState, from ...kmspb.CryptoKeyVersion_CryptoKeyVersionState) (*kmspb.CryptoKeyVersion, error) {
	if err := s.permit(permission, name); err != nil {
		return nil, err
	}
	v, err := s.find(name)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	if state := v.info.GetState(); !slices.Contains(from, state) {
		v.mu.Unlock()
		return nil, status.Errorf(codes.FailedPrecondition, "%s cannot go from state %s to %s.", name, state, to)
	}
	v.info.State = to
	v.mu.Unlock()
	return v.snapshot(), nil
}

// later has a version change when it was asked about so many times and once more.
func (v *version) later(polls int, finish func(*kmspb.CryptoKeyVersion)) *kmspb.CryptoKeyVersion {
	v.mu.Lock()
	v.polls, v.finish = polls, finish
	v.mu.Unlock()
	return v.snapshot()
}

// poll notes that a version is asked about.
func (v *version) poll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.finish == nil {
		return
	}
	if v.polls--; v.polls < 0 {
		v.finish(v.info)
		v.finish = nil
	}
}
