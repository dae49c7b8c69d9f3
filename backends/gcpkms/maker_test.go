package gcpkms_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const shop = ring + "/cryptoKeys/shop"

// makerRig is a server with an empty key ring, and the maker of the key "shop".
func makerRig(t *testing.T) (*kmstest.Server, *gcpkms.Maker) {
	t.Helper()
	s := kmstest.New(t)
	s.SetPolls(0)
	s.AddRing(ring)
	m := maker(t, s, "shop", "")
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing the maker: %v", err)
		}
	})
	return s, m
}

// create makes a version, which must work.
func create(t *testing.T, s *kmstest.Server, m *gcpkms.Maker) (uri string) {
	t.Helper()
	uri, err := m.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signs(t, s, uri)
	return uri
}

// signs opens a version and signs with it.
func signs(t *testing.T, s *kmstest.Server, uri string) *capgo.PublicKey {
	t.Helper()
	k := openURI(t, s, uri)
	defer k.Close()
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	works(t, k, e.PublicKey)
	return e.PublicKey
}

func TestRotation(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	s.SetPolls(2) // the service takes its time
	first, second := create(t, s, m), create(t, s, m)
	if want := gcpkms.Scheme + shop + "/cryptoKeyVersions/"; first != want+"1?protection=hsm" || second != want+"2?protection=hsm" {
		t.Errorf("the URIs are %s and %s", first, second)
	}
	// Side by side, and each by itself.
	one, two := signs(t, s, first), signs(t, s, second)
	if one.Equal(two) {
		t.Error("both versions have the same key")
	}
	s.Edit(shop+"/cryptoKeyVersions/1", func(v *kmspb.CryptoKeyVersion) { v.State = kmspb.CryptoKeyVersion_DISABLED })
	signs(t, s, second)
}

func TestNoKeyRing(t *testing.T) {
	t.Parallel()
	for _, mayLook := range []bool{true, false} {
		s := kmstest.New(t)
		m := maker(t, s, "shop", "")
		defer m.Close()
		if !mayLook {
			s.Deny(kmstest.GetRing)
		}
		says := "gcloud kms keyrings create live --location=europe-west3 --project=acme-prod"
		_, err := m.Create(t.Context())
		refused(t, err, signer.ErrKeyUnusable, says)
		if _, err = m.Plan(t.Context(), false); mayLook {
			refused(t, err, signer.ErrKeyUnusable, says)
		} else if err != nil {
			t.Errorf("planning without permission to look at the key ring: %v", err)
		}
	}
}

// A key of the name that is not what is wanted stands in the way.
func TestMisfits(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	for _, test := range []struct {
		edit      func(*kmspb.CryptoKey)
		says      string
		importing bool // it stands in the way of an import too
	}{
		{func(k *kmspb.CryptoKey) { k.Purpose = kmspb.CryptoKey_ENCRYPT_DECRYPT }, "its purpose is ENCRYPT_DECRYPT", true},
		{func(k *kmspb.CryptoKey) {
			k.VersionTemplate.Algorithm = kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256
		}, "RSA_SIGN_PKCS1_2048_SHA256, want RSA_SIGN_RAW_PKCS1_2048", true},
		{func(k *kmspb.CryptoKey) { k.VersionTemplate.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }, "its protection level is SOFTWARE, want HSM", true},
		{func(k *kmspb.CryptoKey) { k.VersionTemplate = nil }, "want RSA_SIGN_RAW_PKCS1_2048", true},
		{func(k *kmspb.CryptoKey) { k.ImportOnly = true }, "it takes imported versions only", false},
	} {
		key := &kmspb.CryptoKey{
			Name: shop, Purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN,
			VersionTemplate: &kmspb.CryptoKeyVersionTemplate{
				Algorithm: kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, ProtectionLevel: kmspb.ProtectionLevel_HSM,
			},
		}
		test.edit(key)
		s.AddKey(key)
		_, err := m.Create(t.Context())
		refused(t, err, signer.ErrKeyUnusable, "a key of this name exists", test.says, "take another name")
		_, err = m.Plan(t.Context(), true)
		if test.importing {
			refused(t, err, signer.ErrKeyUnusable, test.says)
		} else if err != nil {
			t.Errorf("%s, but not for an import: %v", test.says, err)
		}
	}
	if s.Keys() != 0 {
		t.Error("something was made")
	}
}

// A deleted key keeps its name.
func TestRetiredName(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	s.Retire(shop)
	_, err := m.Create(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "a deleted key keeps its name")
}

// Somebody else makes the key in between: it is used if it fits.
func TestSomebodyElseMakesTheKey(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	create(t, s, m)
	s.Inject(kmstest.Fault{Method: "GetCryptoKey", Times: 1, Err: kmstest.Status(codes.NotFound, "not yet")})
	if uri := create(t, s, m); !strings.Contains(uri, "/cryptoKeyVersions/2?") {
		t.Errorf("made %s, want version 2", uri)
	}
}

// A call whose answer is lost is not repeated: it may have made something.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.DeadlineExceeded, codes.Aborted} {
		s, m := makerRig(t)
		lost := kmstest.Status(code, "the answer is lost")
		s.Inject(kmstest.Fault{Method: "CreateCryptoKey", Times: 1, Lose: lost})
		_, err := m.Create(t.Context())
		refused(t, err, signer.ErrUnavailable, "may have been made all the same", "the next call uses it")
		if n := s.Calls("CreateCryptoKey"); n != 1 {
			t.Errorf("%s: asked for the key %d times, want once", code, n)
		}
		s.Inject(kmstest.Fault{Method: "CreateCryptoKeyVersion", Times: 1, Lose: lost})
		_, err = m.Create(t.Context())
		refused(t, err, signer.ErrUnavailable, "a version may have been made all the same", "gcloud kms keys versions list --key=shop --keyring=live --location=europe-west3 --project=acme-prod")
		if n := s.Keys(); n != 1 {
			t.Errorf("%s: %d versions, want the one whose making was not answered", code, n)
		}
		if uri := create(t, s, m); !strings.Contains(uri, "/cryptoKeyVersions/2?") {
			t.Errorf("made %s, want version 2", uri)
		}
	}
}

// A call that was turned away at the door is repeated.
func TestMakerAtTheDoor(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	s.Inject(kmstest.Fault{Method: "CreateCryptoKeyVersion", Times: 1, Err: kmstest.Status(codes.Unauthenticated, "an old token")})
	s.Inject(kmstest.Fault{Method: "CreateCryptoKeyVersion", Times: 1, Err: quotaError(20 * time.Millisecond)})
	create(t, s, m)
	if n := s.Keys(); n != 1 {
		t.Errorf("%d versions, want 1", n)
	}
}

// A call that was turned away first, and then not answered in time, may have made
// something all the same.
func TestMakerTurnedAwayThenHung(t *testing.T) {
	t.Parallel()
	s, _ := makerRig(t)
	uri, err := gcpkms.ParseKeyURI(gcpkms.Scheme + shop)
	if err != nil {
		t.Fatal(err)
	}
	m := gcpkms.NewMaker(gcpkms.MakerOptions{URI: uri, Timeout: 3 * time.Second, ClientOptions: s.ClientOptions()})
	defer m.Close()
	s.Inject(kmstest.Fault{Method: "CreateCryptoKeyVersion", Times: 1, Err: quotaError(20 * time.Millisecond)})
	s.Inject(kmstest.Fault{Method: "CreateCryptoKeyVersion", Hang: make(chan struct{}, 9)})
	_, err = m.Create(t.Context())
	refused(t, err, signer.ErrUnavailable, "a version may have been made all the same")
}

// Who makes keys need not be allowed to use them.
func TestMakerIsNotSigner(t *testing.T) {
	t.Parallel()
	for _, permission := range []string{kmstest.View, kmstest.Use} {
		s, m := makerRig(t)
		s.Deny(permission)
		uri, err := m.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Allow()
		signs(t, s, uri)
	}
}

func TestMakerPermissions(t *testing.T) {
	t.Parallel()
	for _, permission := range []string{kmstest.GetKey, kmstest.CreateKey, kmstest.CreateVersion} {
		s, m := makerRig(t)
		s.Deny(permission)
		_, err := m.Create(t.Context())
		refused(t, err, signer.ErrKeyUnusable, permission, "roles/cloudkms.admin")
		if strings.Contains(err.Error(), "may have been made") || s.Keys() != 0 {
			t.Errorf("a refusal is no doubt: %v", err)
		}
	}
	// What is missing afterwards leaves something behind.
	s, m := makerRig(t)
	s.Deny(kmstest.Get)
	_, err := m.Create(t.Context())
	refused(t, err, signer.ErrKeyUnusable, kmstest.Get, "version 1 was made and is not known to be good", "gcloud kms keys versions destroy 1 --key=shop")
}

// The service does not get ready in time, or the caller leaves meanwhile.
func TestMakerWaitsNotForEver(t *testing.T) {
	t.Parallel()
	s, _ := makerRig(t)
	s.SetPolls(1 << 30)
	uri, err := gcpkms.ParseKeyURI(gcpkms.Scheme + shop)
	if err != nil {
		t.Fatal(err)
	}
	m := gcpkms.NewMaker(gcpkms.MakerOptions{URI: uri, Patience: 50 * time.Millisecond, ClientOptions: s.ClientOptions()})
	defer m.Close()
	_, err = m.Create(t.Context())
	refused(t, err, signer.ErrUnavailable, "not ready within 50ms", "version 1 was made", "keys versions destroy 1")

	patient := maker(t, s, "shop", "")
	defer patient.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	s.Inject(kmstest.Fault{Method: "GetCryptoKeyVersion", Times: 1, Send: func(any) { close(asked) }})
	go func() { <-asked; cancel() }()
	_, err = patient.Create(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "version 2 was made") {
		t.Errorf("error %v, want one that wraps context.Canceled and names what is left", err)
	}
}

// The new version is not believed to be what was asked for.
func TestMakerBelievesNothingUnchecked(t *testing.T) {
	t.Parallel()
	version := func(f func(*kmspb.CryptoKeyVersion)) func(any) {
		return func(answer any) {
			if v, ok := answer.(*kmspb.CryptoKeyVersion); ok {
				f(v)
			}
		}
	}
	for _, test := range []struct {
		name, method string
		send         func(any)
		says         string
		clean        bool // nothing is left behind
	}{
		{"generation fails", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) {
			v.State = kmspb.CryptoKeyVersion_GENERATION_FAILED
			v.GenerationFailureReason = "the HSM\nis tired"
		}), "could not make the key, and the version stays without one: the HSM is tired", true},
		{"disabled", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.State = kmspb.CryptoKeyVersion_DISABLED }), "is in state DISABLED", false},
		{"another algorithm", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.Algorithm = kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256 }), "RSA_SIGN_PSS_2048_SHA256", false},
		{"software", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), "SOFTWARE", false},
		{"another HSM", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = kmspb.ProtectionLevel_HSM_SINGLE_TENANT }), "HSM_SINGLE_TENANT, want HSM", false},
		{"imported", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.ImportJob = "somebody's" }), "does not show that the service made its key", false},
		{"no generation", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.GenerateTime = nil }), "does not show that the service made its key", false},
		{"of another name", "GetCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.Name = other }), other, false},
		{"of another key", "CreateCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) {
			v.Name = ring + "/cryptoKeys/else/cryptoKeyVersions/1"
		}), "cryptoKeys/else", false},
		{"no name", "CreateCryptoKeyVersion", version(func(v *kmspb.CryptoKeyVersion) { v.Name = "" }), `the answer is about ""`, false},
		{"wrong signature", "AsymmetricSign", func(a any) {
			r := a.(*kmspb.AsymmetricSignResponse)
			r.Signature[9] ^= 1
			r.SignatureCrc32C = kmstest.CRC32C(r.GetSignature())
		}, "test signature is wrong", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, m := makerRig(t)
			s.Inject(kmstest.Fault{Method: test.method, Send: test.send})
			uri, err := m.Create(t.Context())
			refused(t, err, signer.ErrKeyUnusable, test.says)
			if uri != "" {
				t.Errorf("the URI %s beside an error", uri)
			}
			if said := strings.Contains(err.Error(), "gcloud kms keys versions"); said == test.clean {
				t.Errorf("says what is left: %t, want %t: %v", said, !test.clean, err)
			}
		})
	}
}

// A black hole costs a maker its timeout and not more.
func TestMakerBlackHole(t *testing.T) {
	t.Parallel()
	s, _ := makerRig(t)
	uri, err := gcpkms.ParseKeyURI(gcpkms.Scheme + shop)
	if err != nil {
		t.Fatal(err)
	}
	m := gcpkms.NewMaker(gcpkms.MakerOptions{URI: uri, Timeout: 100 * time.Millisecond, ClientOptions: s.ClientOptions()})
	defer m.Close()
	thaw := s.Freeze()
	defer thaw()
	soon(t, func() {
		_, err := m.Create(t.Context())
		refused(t, err, signer.ErrUnavailable, "no answer within 100ms")
	})
}

func TestMakerClosed(t *testing.T) {
	t.Parallel()
	_, m := makerRig(t)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	_, err := m.Create(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "closed")
	_, err = m.Plan(t.Context(), true)
	refused(t, err, signer.ErrKeyUnusable, "closed")
}
