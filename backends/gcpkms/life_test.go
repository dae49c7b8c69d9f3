package gcpkms_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// A call that is never answered ends at its deadline, and the next one is well.
func TestHang(t *testing.T) {
	s, _, public := rig(t)
	o := options(t, s)
	o.Timeout = 300 * time.Millisecond
	k := open(t, o)
	hung := make(chan struct{}, 100)
	heal := s.Inject(kmstest.Fault{Hang: hung})
	within(t, 5*time.Second, func() {
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrUnavailable, "signing")
		_, err = k.Inspect(t.Context())
		refused(t, err, signer.ErrUnavailable, "reading the key version")
	})
	heal()
	works(t, k, public)
}

// A black hole takes everything and answers nothing, on old connections and new
// ones; what is in flight when it ends is not needed for the next call.
func TestBlackHole(t *testing.T) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %t", used), func(t *testing.T) {
			s, _, public := rig(t)
			o := options(t, s)
			o.Timeout = 500 * time.Millisecond
			k := open(t, o)
			if used {
				works(t, k, public)
			}
			thaw := s.Freeze()
			for range 2 {
				within(t, 5*time.Second, func() {
					_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a"), payload(t, "b")})
					refused(t, err, signer.ErrUnavailable, "no answer within 500ms")
				})
			}
			thaw()
			within(t, 2*time.Second, func() { works(t, k, public) })
		})
	}
}

// The caller's own end is told apart from the service's.
func TestCallerLeaves(t *testing.T) {
	s, k, public := rig(t)
	hung := make(chan struct{})
	heal := s.Inject(kmstest.Fault{Hang: hung})
	for _, use := range map[string]func(context.Context) error{
		"Sign": func(ctx context.Context) error {
			_, err := k.Sign(ctx, []capgo.Payload{payload(t, "a")})
			return err
		},
		"Inspect": func(ctx context.Context) error {
			_, err := k.Inspect(ctx)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-hung; cancel() }()
		if err := use(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, signer.ErrKeyUnusable) {
			t.Errorf("error %v, want one that wraps context.Canceled", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		go func() { <-hung }()
		if err := use(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, signer.ErrKeyUnusable) {
			t.Errorf("error %v, want one that wraps context.DeadlineExceeded", err)
		}
		cancel()
	}
	heal()
	works(t, k, public)
}

// The server is restarted again and again under load. Each call succeeds or says
// that the service cannot be reached, and soon after the last restart all is well.
func TestRestartsUnderLoad(t *testing.T) {
	s, k, public := rig(t)
	var done atomic.Bool
	var signed atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				p := payload(t, fmt.Sprint(g, i))
				got, err := k.Sign(t.Context(), []capgo.Payload{p})
				if err == nil {
					err = public.Verify(p, got[0])
					signed.Add(1)
				} else if errors.Is(err, signer.ErrUnavailable) {
					err = nil
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		s.Stop()
		s.Start()
		for before, deadline := signed.Load(), time.Now().Add(20*time.Second); signed.Load() < before+16; {
			if time.Now().After(deadline) {
				t.Fatal("nothing is signed after a restart")
			}
			<-time.After(time.Millisecond)
		}
	}
	done.Store(true)
	wg.Wait()
}

// After an outage the next call succeeds within two seconds of its end.
func TestBackWithinTwoSeconds(t *testing.T) {
	s, k, public := rig(t)
	works(t, k, public)
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for ctx.Err() == nil { // long enough for the attempts to connect to be rare
		if _, err := k.Sign(ctx, []capgo.Payload{payload(t, "a")}); err == nil {
			t.Fatal("signed without a server")
		}
	}
	s.Start()
	back := time.Now()
	for {
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		if took := time.Since(back); took > 2*time.Second {
			t.Fatalf("%s after the server is back: %v", took, err)
		}
		if err == nil {
			return
		}
		refused(t, err, signer.ErrUnavailable, "cannot be reached")
	}
}

func TestBoundedConcurrency(t *testing.T) {
	s, _, _ := rig(t)
	for _, test := range []struct{ option, want int }{{0, 16}, {3, 3}} {
		o := options(t, s)
		o.MaxInFlight = test.option
		k := open(t, o)
		hold := make(chan struct{})
		heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Hold: hold})
		before := s.Calls("AsymmetricSign")
		var wg sync.WaitGroup
		for range 3 { // callers
			wg.Go(func() {
				payloads := make([]capgo.Payload, 20)
				for i := range payloads {
					payloads[i] = payload(t, fmt.Sprint(i))
				}
				if _, err := k.Sign(t.Context(), payloads); err != nil {
					t.Error(err)
				}
			})
		}
		for deadline := time.Now().Add(20 * time.Second); s.Calls("AsymmetricSign")-before < test.want; {
			if time.Now().After(deadline) {
				t.Fatalf("%d calls at once, want %d", s.Calls("AsymmetricSign")-before, test.want)
			}
			<-time.After(time.Millisecond)
		}
		if test.option == 3 {
			// With one more in flight there would be 4 that were let in.
			if n := s.Calls("AsymmetricSign") - before; n != 3 {
				t.Errorf("%d calls at once, want 3", n)
			}
		}
		heal()
		close(hold)
		wg.Wait()
		if most := s.MostInFlight(); most > 16 {
			t.Errorf("%d calls at once, want at most 16", most)
		}
	}
}

// One payload that cannot be signed ends the batch, and the error is its own and
// not that of those which were stopped because of it.
func TestBatchEndsWithTheFirstError(t *testing.T) {
	s, k, _ := rig(t)
	payloads := make([]capgo.Payload, 500)
	for i := range payloads {
		payloads[i] = payload(t, fmt.Sprint(i))
	}
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 1, Err: kmstest.Status(codes.FailedPrecondition, "not enabled")})
	got, err := k.Sign(t.Context(), payloads)
	refused(t, err, signer.ErrKeyUnusable, "not enabled")
	if got != nil {
		t.Error("signatures beside an error")
	}
	if n := s.Calls("AsymmetricSign"); n > 200 {
		t.Errorf("%d of 500 were signed after one had failed", n)
	}
}

func TestOpenTouchesNothing(t *testing.T) {
	s := kmstest.New(t)
	k := gcpkms.Open(options(t, s))
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	_, err := k.Sign(t.Context(), nil)
	refused(t, err, signer.ErrKeyUnusable, "the key was closed")
	if s.MostInFlight() != 0 {
		t.Error("the server was asked")
	}
}
