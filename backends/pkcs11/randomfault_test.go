package pkcs11_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// TestSessionsDoNotLeak has session after session go bad in one process.
func TestSessionsDoNotLeak(t *testing.T) {
	f := newFaultRig(t)
	r, k := f.start(t, pkcs11.KeyOptions{MaxSessions: 2})
	mustSign(t, k)
	const faults = 50
	for range faults {
		f.once("C_Sign", 0x0B3)
		mustSign(t, k)
	}
	begun, ended := f.fake.Calls("C_OpenSession"), f.fake.Calls("C_CloseSession")
	if begun < faults {
		t.Errorf("%d sessions were opened after %d went bad", begun, faults)
	}
	if left := begun - ended; left > 3 {
		t.Errorf("%d sessions were opened and %d closed: %d are left, want at most 2 and the anchor", begun, ended, left)
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

// TestRandomFaults has callers sign while one thing after the other goes wrong in
// the module. Each repeats until it has its signature; none is wrong, and nothing
// of the processes that went is left.
func TestRandomFaults(t *testing.T) {
	const callers, faults = 4, 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newFaultRig(t)
	r, k := f.start(t, pkcs11.KeyOptions{MaxSessions: 3})
	mustSign(t, k)
	before := descriptors(t)

	var stop atomic.Bool
	var signed, refused atomic.Int64
	var wg sync.WaitGroup
	ctx := t.Context()
	for g := range callers {
		wg.Go(func() {
			for i := 0; !stop.Load() && ctx.Err() == nil; i++ {
				payloads := []capgo.Payload{payload(t, fmt.Sprint(g, i)), capgo.SessionKeyPayload()}
				for ctx.Err() == nil {
					got, err := k.Sign(ctx, payloads)
					if err != nil {
						if !errors.Is(err, signer.ErrUnavailable) && !errors.Is(err, signer.ErrKeyUnusable) {
							t.Errorf("an error of neither kind: %v", err)
						}
						refused.Add(1)
						pause(ctx)
						continue
					}
					for j, p := range payloads {
						if err := f.public.Verify(p, got[j]); err != nil {
							t.Errorf("caller %d, call %d: %v", g, i, err)
						}
					}
					signed.Add(1)
					break
				}
			}
		})
	}
	for range faults {
		f.fake.Inject(randomFault(random))
		enough := signed.Load() + 2*callers
		eventually(t, "signing goes on", func() bool { return signed.Load() >= enough || t.Failed() })
	}
	f.fake.Heal()
	stop.Store(true)
	wg.Wait()
	mustSign(t, k)
	t.Logf("%d pairs were signed over %d faults with %d processes; %d calls were refused and repeated",
		signed.Load(), faults, r.count(opened), refused.Load())
	eventually(t, "the descriptors of former processes are closed", func() bool { return descriptors(t) <= before+2 })
}

// randomFault returns a fault that one call has, of any kind but those that take
// long or need an operator: a login is left alone.
func randomFault(random *rand.Rand) faultmodule.Fault {
	functions := []string{"C_Sign", "C_SignInit", "C_FindObjectsInit", "C_FindObjects", "C_GetAttributeValue", "C_OpenSession", "C_GenerateRandom", "C_GetTokenInfo"}
	var codes []ckr.Code
	for code, function := range sources() {
		if function != "C_Login" && function != "C_Initialize" {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes) // the same seed gives the same faults
	fault := faultmodule.Fault{
		Function: functions[random.IntN(len(functions))],
		Code:     codes[random.IntN(len(codes))],
		Skip:     random.IntN(3),
		Times:    1 + random.IntN(2),
	}
	if random.IntN(6) == 0 {
		fault.Action, fault.Times = faultmodule.Crash, 1
	}
	return fault
}

// descriptors counts this process's open files.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
