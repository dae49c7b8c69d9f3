package kmstest

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"hash/crc32"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// maxRaw is the longest input of RSA_SIGN_RAW_PKCS1_2048: the padding takes 11
// bytes (RFC 8017, section 9.2).
const maxRaw = 256 - 11

// Status returns an error with details.
func Status(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// CRC32C returns a checksum as the service sends it.
func CRC32C(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}

// permit asks IAM, which comes before everything else: who may do nothing does not
// learn what is there.
func (s *Server) permit(permission, resource string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.denied[permission] {
		return nil
	}
	return Status(
		codes.PermissionDenied,
		"Permission '"+permission+"' denied on resource '"+resource+"' (or it may not exist).",
		&errdetails.ErrorInfo{Reason: "IAM_PERMISSION_DENIED", Domain: "cloudkms.googleapis.com"},
	)
}

func (s *Server) find(name string) (*version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.versions[name]
	if !ok {
		return nil, status.Error(codes.NotFound, "CryptoKeyVersion "+name+" not found.")
	}
	return v, nil
}

// usable finds a version whose key can be used.
func (s *Server) usable(name string) (*version, *kmspb.CryptoKeyVersion, error) {
	v, err := s.find(name)
	if err != nil {
		return nil, nil, err
	}
	info := v.snapshot()
	if info.GetState() != kmspb.CryptoKeyVersion_ENABLED {
		return nil, nil, Status(
			codes.FailedPrecondition,
			name+" is not enabled, current state is: "+info.GetState().String()+".",
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "KEY_" + info.GetState().String(), Subject: name}}},
		)
	}
	return v, info, nil
}

// GetCryptoKeyVersion implements the service.
func (s *Server) GetCryptoKeyVersion(_ context.Context, r *kmspb.GetCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	if err := s.permit(Get, r.GetName()); err != nil {
		return nil, err
	}
	v, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	v.poll()
	return v.snapshot(), nil
}

// GetPublicKey implements the service.
func (s *Server) GetPublicKey(_ context.Context, r *kmspb.GetPublicKeyRequest) (*kmspb.PublicKey, error) {
	if err := s.permit(View, r.GetName()); err != nil {
		return nil, err
	}
	v, info, err := s.usable(r.GetName())
	if err != nil {
		return nil, err
	}
	return &kmspb.PublicKey{
		Name:            info.GetName(),
		Pem:             v.pem,
		PemCrc32C:       CRC32C([]byte(v.pem)),
		Algorithm:       info.GetAlgorithm(),
		ProtectionLevel: info.GetProtectionLevel(),
	}, nil
}

// AsymmetricSign implements the service.
func (s *Server) AsymmetricSign(_ context.Context, r *kmspb.AsymmetricSignRequest) (*kmspb.AsymmetricSignResponse, error) {
	if err := s.permit(Use, r.GetName()); err != nil {
		return nil, err
	}
	v, info, err := s.usable(r.GetName())
	if err != nil {
		return nil, err
	}
	if r.GetDigest() != nil || len(r.GetData()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "this server signs data, not a digest")
	}
	if sum := r.GetDataCrc32C(); sum != nil && sum.GetValue() != CRC32C(r.GetData()).GetValue() {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field data_crc32c did not match the data in field data.")
	}
	signature, err := sign(v.key, info.GetAlgorithm(), r.GetData())
	if err != nil {
		return nil, err
	}
	return &kmspb.AsymmetricSignResponse{
		Signature:          signature,
		SignatureCrc32C:    CRC32C(signature),
		VerifiedDataCrc32C: r.GetDataCrc32C() != nil,
		Name:               info.GetName(),
		ProtectionLevel:    info.GetProtectionLevel(),
	}, nil
}

func sign(private any, algorithm kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm, data []byte) ([]byte, error) {
	if key, ok := private.(ed25519.PrivateKey); ok && algorithm == kmspb.CryptoKeyVersion_EC_SIGN_ED25519 {
		return ed25519.Sign(key, data), nil
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "this server does not sign with a %T", private)
	}
	switch algorithm {
	case kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048:
		if len(data) > maxRaw {
			return nil, status.Errorf(codes.InvalidArgument, "data has %d bytes, at most %d are possible", len(data), maxRaw)
		}
		return rsa.SignPKCS1v15(nil, key, crypto.Hash(0), data)
	case kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256:
		digest := sha256.Sum256(data)
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	}
	return nil, status.Errorf(codes.InvalidArgument, "this server does not sign with %s", algorithm)
}

// GenerateRandomBytes implements the service.
func (s *Server) GenerateRandomBytes(_ context.Context, r *kmspb.GenerateRandomBytesRequest) (*kmspb.GenerateRandomBytesResponse, error) {
	if err := s.permit(RandomBytes, r.GetLocation()); err != nil {
		return nil, err
	}
	if parts := strings.Split(r.GetLocation(), "/"); len(parts) != 4 || parts[0] != "projects" || parts[2] != "locations" {
		return nil, status.Error(codes.InvalidArgument, "location is not projects/*/locations/*")
	}
	if r.GetProtectionLevel() != kmspb.ProtectionLevel_HSM || r.GetLengthBytes() < 8 || r.GetLengthBytes() > 1024 {
		return nil, status.Error(codes.InvalidArgument, "want protection level HSM and 8 to 1024 bytes")
	}
	data := make([]byte, r.GetLengthBytes())
	if _, err := rand.Read(data); err != nil {
		return nil, status.Error(codes.Internal, "no random bytes")
	}
	return &kmspb.GenerateRandomBytesResponse{Data: data, DataCrc32C: CRC32C(data)}, nil
}
