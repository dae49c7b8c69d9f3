package gcpkms_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestStates(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	for number, stateName := range kmspb.CryptoKeyVersion_CryptoKeyVersionState_name {
		state := kmspb.CryptoKeyVersion_CryptoKeyVersionState(number)
		s.Edit(name, func(v *kmspb.CryptoKeyVersion) { v.State = state })
		if state == kmspb.CryptoKeyVersion_ENABLED {
			works(t, k, public)
			continue
		}
		_, err := k.Inspect(t.Context())
		refused(t, err, signer.ErrKeyUnusable, "in state "+stateName, "gcloud kms keys versions enable")
		_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrKeyUnusable, "current state is: "+stateName, "gcloud kms keys versions enable")
	}
	// Enabled again, it works without anything else.
	s.Edit(name, func(v *kmspb.CryptoKeyVersion) { v.State = kmspb.CryptoKeyVersion_ENABLED })
	works(t, k, public)
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := kmstest.New(t)
	k := open(t, options(t, s))
	_, err := k.Inspect(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "no such key version", name)
	_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrKeyUnusable, "no such key version", name)
	works(t, k, publicKey(t, s.Generate(name)))
}

// Another project: one that the account may see, one that it may not, and the right
// one by its number, under which the service does not answer.
func TestWrongProject(t *testing.T) {
	t.Parallel()
	s, _, _ := rig(t)
	o := options(t, s)
	o.URI = parse(t, gcpkms.Scheme+strings.Replace(name, "acme-prod", "acme-test", 1))
	k := open(t, o)
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrKeyUnusable, "check project", "acme-test")
	heal := s.Inject(kmstest.Fault{Err: kmstest.Status(codes.PermissionDenied, "Permission denied on resource project acme-test.", &errdetails.ErrorInfo{Reason: "CONSUMER_INVALID"})})
	_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrKeyUnusable, "CONSUMER_INVALID", "resource project acme-test")
	heal()
	s.Inject(kmstest.Fault{Receive: func(r any) { r.(*kmspb.AsymmetricSignRequest).Name = name }})
	_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrKeyUnusable, "project ID, not number")
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	for permission, sign := range map[string]bool{kmstest.Use: true, kmstest.View: false, kmstest.Get: false} {
		s, k, public := rig(t)
		s.Deny(permission)
		var err error
		if sign {
			_, err = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		} else {
			_, err = k.Inspect(t.Context())
		}
		refused(t, err, signer.ErrKeyUnusable, permission, "roles/cloudkms.signerVerifier", "roles/cloudkms.viewer", "IAM_PERMISSION_DENIED")
		s.Allow()
		works(t, k, public)
	}
}

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0LXNlc3Npb24ta2V5"
	for _, test := range []struct {
		code  codes.Code
		kind  error
		says  string
		calls int
		quiet bool // the service's text is not repeated
	}{
		{codes.Canceled, signer.ErrUnavailable, "the service failed (Canceled)", 3, true},
		{codes.Unknown, signer.ErrUnavailable, "the service failed (Unknown)", 3, true},
		{codes.InvalidArgument, signer.ErrKeyUnusable, "refuses the request (InvalidArgument)", 1, true},
		{codes.DeadlineExceeded, signer.ErrUnavailable, "did not answer in time", 3, true},
		{codes.NotFound, signer.ErrKeyUnusable, "no such key version", 1, false},
		{codes.AlreadyExists, signer.ErrUnavailable, "the service failed (AlreadyExists)", 3, true},
		{codes.PermissionDenied, signer.ErrKeyUnusable, "permission denied", 1, false},
		{codes.FailedPrecondition, signer.ErrKeyUnusable, "cannot be used as it is", 1, false},
		{codes.Aborted, signer.ErrUnavailable, "the service failed (Aborted)", 3, true},
		{codes.OutOfRange, signer.ErrKeyUnusable, "refuses the request (OutOfRange)", 1, true},
		{codes.Unimplemented, signer.ErrKeyUnusable, "does not speak the Cloud KMS API", 1, true},
		{codes.Internal, signer.ErrUnavailable, "the service failed (Internal)", 3, true},
		{codes.Unavailable, signer.ErrUnavailable, "cannot be reached", 3, false},
		{codes.DataLoss, signer.ErrUnavailable, "the service failed (DataLoss)", 3, true},
		{codes.Unauthenticated, signer.ErrKeyUnusable, "does not accept the credentials", 2, true},
	} {
		t.Run(test.code.String(), func(t *testing.T) {
			s, k, public := rig(t)
			heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Err: kmstest.Status(test.code, "the text\r\nof the service, "+secret+strings.Repeat(" and more", 500))})
			_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			refused(t, err, test.kind, test.says)
			if said := strings.Contains(err.Error(), secret); said == test.quiet {
				t.Errorf("the service's text is repeated: %t, want %t: %v", said, !test.quiet, err)
			}
			if len(err.Error()) > 1200 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if n := s.Calls("AsymmetricSign"); n != test.calls {
				t.Errorf("asked %d times, want %d", n, test.calls)
			}
			heal()
			works(t, k, public)
		})
	}
}

func TestServiceDisabled(t *testing.T) {
	t.Parallel()
	s, k, _ := rig(t)
	s.Inject(kmstest.Fault{Err: kmstest.Status(codes.PermissionDenied, "Cloud KMS API has not been used", &errdetails.ErrorInfo{Reason: "SERVICE_DISABLED"})})
	_, err := k.Inspect(t.Context())
	refused(t, err, signer.ErrKeyUnusable, "gcloud services enable cloudkms.googleapis.com")
}

// Two failures and then an answer: nobody notices.
func TestTransientFailures(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.Aborted, codes.DeadlineExceeded, codes.Unknown} {
		s, k, public := rig(t)
		s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 2, Err: kmstest.Status(code, "not now")})
		works(t, k, public)
	}
}
