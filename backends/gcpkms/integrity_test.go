package gcpkms_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const other = location + "/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/2"

// An answer to Sign that is not the answer to the question.
func TestSignBelievesNothingUnchecked(t *testing.T) {
	t.Parallel()
	send := func(f func(*kmspb.AsymmetricSignResponse)) func(any) {
		return func(answer any) { f(answer.(*kmspb.AsymmetricSignResponse)) }
	}
	for _, test := range []struct {
		name    string
		receive func(any)
		send    func(any)
		kind    error
		says    string
		calls   int
	}{
		{name: "signature damaged", kind: signer.ErrUnavailable, says: "signature was damaged", calls: 3, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.Signature[17] ^= 1
		})},
		{name: "wrong checksum", kind: signer.ErrUnavailable, says: "signature was damaged", calls: 3, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.SignatureCrc32C.Value ^= 1
		})},
		{name: "no checksum", kind: signer.ErrUnavailable, says: "signature was damaged", calls: 3, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.SignatureCrc32C = nil
		})},
		{name: "checksum of the request not confirmed", kind: signer.ErrUnavailable, says: "did not confirm the checksum", calls: 3, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.VerifiedDataCrc32C = false
		})},
		{name: "checksum of the request lost", kind: signer.ErrUnavailable, says: "did not confirm the checksum", calls: 3, receive: func(r any) {
			r.(*kmspb.AsymmetricSignRequest).DataCrc32C = nil
		}},
		{name: "request damaged", kind: signer.ErrKeyUnusable, says: "InvalidArgument", calls: 1, receive: func(r any) {
			r.(*kmspb.AsymmetricSignRequest).Data[0] ^= 1
		}},
		{name: "signed by another version", kind: signer.ErrKeyUnusable, says: other, calls: 1, receive: func(r any) {
			r.(*kmspb.AsymmetricSignRequest).Name = other
		}},
		{name: "no name", kind: signer.ErrKeyUnusable, says: "the answer came from", calls: 1, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.Name = ""
		})},
		{name: "another protection level", kind: signer.ErrKeyUnusable, says: "inspected at protection level HSM, and signed at SOFTWARE", calls: 1, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE
		})},
		{name: "a byte short", kind: signer.ErrKeyUnusable, says: "255", calls: 1, send: send(func(r *kmspb.AsymmetricSignResponse) {
			r.Signature = r.Signature[:255]
			r.SignatureCrc32C = kmstest.CRC32C(r.Signature)
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, k, public := rig(t)
			s.Generate(other)
			if _, err := k.Inspect(t.Context()); err != nil {
				t.Fatal(err)
			}
			heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Receive: test.receive, Send: test.send})
			got, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			refused(t, err, test.kind, test.says)
			if got != nil {
				t.Errorf("%d signatures beside an error", len(got))
			}
			if n := s.Calls("AsymmetricSign"); n != test.calls {
				t.Errorf("asked %d times, want %d", n, test.calls)
			}
			heal()
			works(t, k, public)
		})
	}
}

// One answer damaged in each direction is not worth an error.
func TestSignRepeatsWhatWasDamagedOnce(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 1, Receive: func(r any) { r.(*kmspb.AsymmetricSignRequest).DataCrc32C = nil }})
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 1, Send: func(r any) { r.(*kmspb.AsymmetricSignResponse).Signature[0] ^= 1 }})
	got, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(payload(t, "a"), got[0]); err != nil {
		t.Error(err)
	}
}

// A wrong signature whose checksum is right is for the core to find, which
// verifies all: here it must only not get lost.
func TestWrongSignatureIsHandedOn(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Send: func(r any) {
		answer := r.(*kmspb.AsymmetricSignResponse)
		answer.Signature[17] ^= 1
		answer.SignatureCrc32C = kmstest.CRC32C(answer.Signature)
	}})
	got, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	if err != nil {
		t.Fatal(err)
	}
	if public.Verify(payload(t, "a"), got[0]) == nil {
		t.Error("the signature is right")
	}
}

func TestInspectBelievesNothingUnchecked(t *testing.T) {
	t.Parallel()
	pub := func(f func(*kmspb.PublicKey)) func(any) {
		return func(answer any) {
			if a, ok := answer.(*kmspb.PublicKey); ok {
				f(a)
			}
		}
	}
	for _, test := range []struct {
		name string
		send func(any)
		kind error
		says string
	}{
		{"damaged", pub(func(k *kmspb.PublicKey) { k.Pem = strings.Replace(k.GetPem(), "M", "N", 1) }), signer.ErrUnavailable, "public key was damaged"},
		{"no checksum", pub(func(k *kmspb.PublicKey) { k.PemCrc32C = nil }), signer.ErrUnavailable, "public key was damaged"},
		{"of another version", pub(func(k *kmspb.PublicKey) { k.Name = other }), signer.ErrKeyUnusable, other},
		{"another algorithm", pub(func(k *kmspb.PublicKey) { k.Algorithm = kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256 }), signer.ErrKeyUnusable, "RSA_SIGN_PSS_2048_SHA256"},
		{"another level", pub(func(k *kmspb.PublicKey) { k.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), signer.ErrKeyUnusable, "its public key says SOFTWARE"},
		{"not PEM", pub(func(k *kmspb.PublicKey) { k.Pem = "x"; k.PemCrc32C = kmstest.CRC32C([]byte("x")) }), signer.ErrKeyUnusable, "one PEM block"},
		{"state of another version", func(a any) {
			if v, ok := a.(*kmspb.CryptoKeyVersion); ok {
				v.Name = other
			}
		}, signer.ErrKeyUnusable, other},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, k, _ := rig(t)
			heal := s.Inject(kmstest.Fault{Send: test.send})
			_, err := k.Inspect(t.Context())
			refused(t, err, test.kind, test.says)
			heal()
			if _, err := k.Inspect(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
