package gcpkms_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
)

// Session keys take random bytes from the HSM of a key that is in one, and nothing
// depends on them.
func TestRandomBytes(t *testing.T) {
	t.Parallel()
	wrongSum := func(r any) { r.(*kmspb.GenerateRandomBytesResponse).DataCrc32C.Value ^= 1 }
	for _, test := range []struct {
		name  string
		level kmspb.ProtectionLevel
		fault *kmstest.Fault
		deny  bool
		calls int // for two session keys
	}{
		{name: "HSM", level: kmspb.ProtectionLevel_HSM, calls: 2},
		{name: "software", level: kmspb.ProtectionLevel_SOFTWARE},
		{name: "no permission", level: kmspb.ProtectionLevel_HSM, deny: true, calls: 1},
		{name: "no HSM in the location", level: kmspb.ProtectionLevel_HSM, fault: &kmstest.Fault{Err: kmstest.Status(codes.InvalidArgument, "no")}, calls: 1},
		{name: "quota", level: kmspb.ProtectionLevel_HSM, fault: &kmstest.Fault{Err: quotaError(0)}, calls: 2},
		{name: "damaged", level: kmspb.ProtectionLevel_HSM, fault: &kmstest.Fault{Send: wrongSum}, calls: 2},
		{name: "hangs", level: kmspb.ProtectionLevel_HSM, fault: &kmstest.Fault{Hang: make(chan struct{}, 9)}, calls: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, k, public := rig(t)
			s.Edit(name, func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = test.level })
			k.SetEntropyPatience(patience)
			if test.name == "hangs" {
				k.SetEntropyPatience(50 * time.Millisecond)
			}
			if test.deny {
				s.Deny(kmstest.RandomBytes)
			}
			if test.fault != nil {
				test.fault.Method = "GenerateRandomBytes"
				s.Inject(*test.fault)
			}
			if _, err := k.Inspect(t.Context()); err != nil {
				t.Fatal(err)
			}
			works(t, k, public)
			works(t, k, public)
			// A call that is given up may not have come through.
			if n := s.Calls("GenerateRandomBytes"); n != test.calls && (n != 0 || test.name != "hangs") {
				t.Errorf("asked for random bytes %d times, want %d", n, test.calls)
			}
		})
	}
}

// A caller who leaves while the HSM is asked for random bytes does not have it taken
// for one that gives none.
func TestCallerLeavesRandomBytes(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	k.SetEntropyPatience(patience)
	if _, err := k.Inspect(t.Context()); err != nil {
		t.Fatal(err)
	}
	hung := make(chan struct{})
	heal := s.Inject(kmstest.Fault{Method: "GenerateRandomBytes", Hang: hung})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hung; cancel() }()
	if _, err := k.Sign(ctx, []capgo.Payload{capgo.SessionKeyPayload()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that wraps context.Canceled", err)
	}
	heal()
	before := s.Calls("GenerateRandomBytes")
	works(t, k, public)
	if s.Calls("GenerateRandomBytes") == before {
		t.Error("no random bytes are asked for any more")
	}
}
