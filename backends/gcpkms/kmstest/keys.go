package kmstest

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// defaultScheduled is how long a version is scheduled for destruction if its key
// says nothing else: 30 days.
const defaultScheduled = 30 * 24 * 3600

var resourceID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)

// cryptoKey is a key: a template, and numbers for its versions.
type cryptoKey struct {
	info *kmspb.CryptoKey
	last int // the highest number given to a version
}

// AddRing adds a key ring: projects/P/locations/L/keyRings/R.
func (s *Server) AddRing(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rings[name] = true
}

// AddKey adds a key, and its key ring, as they were made elsewhere.
func (s *Server) AddKey(key *kmspb.CryptoKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rings[parent(key.GetName())] = true
	s.keys[key.GetName()] = &cryptoKey{info: key}
}

// parent returns the name of the resource that one belongs to.
func parent(name string) string {
	parts := strings.Split(name, "/")
	return strings.Join(parts[:max(0, len(parts)-2)], "/")
}

// GetKeyRing implements the service.
func (s *Server) GetKeyRing(_ context.Context, r *kmspb.GetKeyRingRequest) (*kmspb.KeyRing, error) {
	if err := s.permit(GetRing, r.GetName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[r.GetName()] {
		return nil, status.Errorf(codes.NotFound, "KeyRing %s not found.", r.GetName())
	}
	return &kmspb.KeyRing{Name: r.GetName()}, nil
}

// GetCryptoKey implements the service.
func (s *Server) GetCryptoKey(_ context.Context, r *kmspb.GetCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	if err := s.permit(GetKey, r.GetName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.keys[r.GetName()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", r.GetName())
	}
	return proto.Clone(key.info).(*kmspb.CryptoKey), nil
}

// CreateCryptoKey implements the service.
func (s *Server) CreateCryptoKey(_ context.Context, r *kmspb.CreateCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	if err := s.permit(CreateKey, r.GetParent()); err != nil {
		return nil, err
	}
	if !resourceID.MatchString(r.GetCryptoKeyId()) {
		return nil, status.Error(codes.InvalidArgument, "crypto_key_id does not match [a-zA-Z0-9_-]{1,63}")
	}
	info := proto.Clone(r.GetCryptoKey()).(*kmspb.CryptoKey)
	if err := checkTemplate(info); err != nil {
		return nil, err
	}
	if info.GetImportOnly() && !r.GetSkipInitialVersionCreation() {
		return nil, status.Error(codes.InvalidArgument, "a key with import_only has no initial version: set skip_initial_version_creation")
	}
	info.Name = r.GetParent() + "/cryptoKeys/" + r.GetCryptoKeyId()
	info.CreateTime = timestamppb.Now()
	if info.GetVersionTemplate().GetProtectionLevel() == kmspb.ProtectionLevel_PROTECTION_LEVEL_UNSPECIFIED {
		info.VersionTemplate.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE
	}
	if info.GetDestroyScheduledDuration() == nil {
		info.DestroyScheduledDuration = &durationpb.Duration{Seconds: defaultScheduled}
	}
	if err := s.insert(info); err != nil {
		return nil, err
	}
	if !r.GetSkipInitialVersionCreation() {
		if _, err := s.generate(info.GetName()); err != nil {
			return nil, err
		}
	}
	return info, nil
}

func checkTemplate(key *kmspb.CryptoKey) error {
	template := key.GetVersionTemplate()
	if key.GetPurpose() != kmspb.CryptoKey_ASYMMETRIC_SIGN || !strings.Contains(template.GetAlgorithm().String(), "_SIGN_") {
		return status.Errorf(codes.InvalidArgument, "algorithm %s is not valid for purpose %s, or this server does not know them", template.GetAlgorithm(), key.GetPurpose())
	}
	return nil
}

func (s *Server) insert(info *kmspb.CryptoKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rings[parent(info.GetName())] {
		return status.Errorf(codes.NotFound, "KeyRing %s not found.", parent(info.GetName()))
	}
	if _, ok := s.keys[info.GetName()]; ok || s.retired[info.GetName()] {
		return status.Errorf(codes.AlreadyExists, "CryptoKey %s already exists.", info.GetName())
	}
	s.keys[info.GetName()] = &cryptoKey{info: info}
	return nil
}

// Retire has a name be that of a key which was deleted: it is given to no other.
func (s *Server) Retire(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
	s.retired[key] = true
}

// number gives the next version of a key its name, and says what the key is.
func (s *Server) number(key string) (*kmspb.CryptoKey, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[key]
	if !ok {
		return nil, "", status.Errorf(codes.NotFound, "CryptoKey %s not found.", key)
	}
	k.last++
	return proto.Clone(k.info).(*kmspb.CryptoKey), fmt.Sprintf("%s/cryptoKeyVersions/%d", key, k.last), nil
}
