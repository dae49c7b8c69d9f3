package gcpkms_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func quotaError(after time.Duration) error {
	const text = "Quota exceeded for quota metric 'HSM symmetric requests'"
	if after == 0 {
		return kmstest.Status(codes.ResourceExhausted, text)
	}
	return kmstest.Status(codes.ResourceExhausted, text, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
}

// More refusals than any other error gets attempts: the batch still comes through.
func TestQuotaIsWaitedFor(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 20, Err: quotaError(50 * time.Millisecond)})
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 1, Err: quotaError(0)})
	var payloads []capgo.Payload
	for i := range 40 {
		payloads = append(payloads, payload(t, fmt.Sprint(i)))
	}
	got, err := k.Sign(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range payloads {
		if err := public.Verify(p, got[i]); err != nil {
			t.Error(err)
		}
	}
}

// A quota that does not come back in time is told at once, with the time to come
// back at, and the service is left alone until then.
func TestQuotaIsTold(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Err: quotaError(time.Minute)})
	soon(t, func() {
		for range 3 {
			_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			refused(t, err, signer.ErrUnavailable, "quota", "retry in")
			var hint interface{ RetryAfter() time.Duration }
			if !errors.As(err, &hint) || hint.RetryAfter() < time.Minute-patience || hint.RetryAfter() > time.Minute {
				t.Errorf("error %v does not say to come back in a minute", err)
			}
		}
	})
	if n := s.Calls("AsymmetricSign"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	heal()
	// Another key has another pause.
	works(t, open(t, options(t, s)), public)
}

// Without a hint the key gives up when its time is over.
func TestQuotaUsedUpForLong(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	k.SetTimeout(4 * time.Second)
	heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Err: quotaError(0)})
	soon(t, func() {
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrUnavailable, "quota")
	})
	if n := s.Calls("AsymmetricSign"); n < 1 || n > 8 {
		t.Errorf("asked %d times within 4 seconds", n)
	}
	heal()
	// The pause has an end.
	k.SetTimeout(patience)
	works(t, k, public)
}
