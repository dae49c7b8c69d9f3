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
	t.Parallel()
	s, k, public := rig(t)
	k.SetTimeout(50 * time.Millisecond)
	heal := s.Inject(kmstest.Fault{Hang: make(chan struct{}, 100)})
	soon(t, func() {
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrUnavailable, "signing")
		_, err = k.Inspect(t.Context())
		refused(t, err, signer.ErrUnavailable, "reading the key version")
	})
	heal()
	k.SetTimeout(patience)
	works(t, k, public)
}

// A black hole takes everything and answers nothing, on old connections and new
// ones; what is in flight when it ends is not needed for the next call.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %t", used), func(t *testing.T) {
			s, k, public := rig(t)
			if used {
				works(t, k, public)
			}
			k.SetTimeout(100 * time.Millisecond)
			thaw := s.Freeze()
			for range 2 {
				soon(t, func() {
					_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a"), payload(t, "b")})
					refused(t, err, signer.ErrUnavailable, "no answer within 100ms")
				})
			}
			thaw()
			k.SetTimeout(patience)
			soon(t, func() { works(t, k, public) })
		})
	}
}

// The caller's own end is told apart from the service's.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	hung := make(chan struct{}, 100)
	heal := s.Inject(kmstest.Fault{Hang: hung})
	for what, use := range map[string]func(context.Context) error{
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
			t.Errorf("%s: error %v, want one that wraps context.Canceled", what, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := use(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, signer.ErrKeyUnusable) {
			t.Errorf("%s: error %v, want one that wraps context.DeadlineExceeded", what, err)
		}
		cancel()
		for len(hung) > 0 {
			<-hung
		}
	}
	heal()
	works(t, k, public)
}

// The service knows the caller's deadline and may say first that it is over: it is
// the caller's all the same.
func TestServiceNoticesTheDeadlineFirst(t *testing.T) {
	t.Parallel()
	s, k, _ := rig(t)
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Err: kmstest.Status(codes.DeadlineExceeded, "too late")})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := k.Sign(ctx, []capgo.Payload{payload(t, "a")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one that wraps context.DeadlineExceeded", err)
	}
}

// The server is restarted again and again under load. Each call succeeds or says
// that the service cannot be reached, and after each restart all is well.
func TestRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	var done atomic.Bool
	signed := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				p := payload(t, fmt.Sprint(g, i))
				got, err := k.Sign(t.Context(), []capgo.Payload{p})
				switch {
				case err == nil:
					if err := public.Verify(p, got[0]); err != nil {
						t.Error(err)
					}
					select {
					case signed <- struct{}{}:
					default:
					}
				case !errors.Is(err, signer.ErrUnavailable):
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		s.Stop()
		s.Start()
		for range 16 {
			select {
			case <-signed:
			case <-time.After(patience):
				t.Error("nothing is signed after a restart")
			}
		}
	}
	done.Store(true)
	wg.Wait()
}

// After an outage the first call succeeds: it does not wait until a connection that
// failed is due for its next attempt, however long the outage was.
func TestFirstCallAfterAnOutage(t *testing.T) {
	t.Parallel()
	for _, calls := range []int{1, 2, 30} {
		s, k, public := rig(t)
		works(t, k, public)
		s.Stop()
		for range calls {
			_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			refused(t, err, signer.ErrUnavailable, "cannot be reached")
		}
		s.Start()
		began := time.Now()
		works(t, k, public)
		if took := time.Since(began); took > patience {
			t.Errorf("took %s", took)
		}
	}
}

func TestBoundedConcurrency(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	s, k, _ := rig(t)
	payloads := make([]capgo.Payload, 500)
	for i := range payloads {
		payloads[i] = payload(t, fmt.Sprint(i))
	}
	hold := make(chan struct{})
	defer close(hold)
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Times: 1, Err: kmstest.Status(codes.FailedPrecondition, "not enabled")})
	s.Inject(kmstest.Fault{Method: "AsymmetricSign", Hold: hold}) // whatever else is asked for
	soon(t, func() {
		got, err := k.Sign(t.Context(), payloads)
		refused(t, err, signer.ErrKeyUnusable, "not enabled")
		if got != nil {
			t.Error("signatures beside an error")
		}
	})
	if n := s.Calls("AsymmetricSign"); n > 16 {
		t.Errorf("%d were asked for, want no more than were in flight when one failed", n)
	}
}

// A caller that leaves takes its whole batch along.
func TestBatchEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s, k, public := rig(t)
	payloads := make([]capgo.Payload, 5000)
	for i := range payloads {
		payloads[i] = payload(t, fmt.Sprint(i))
	}
	hung := make(chan struct{}, 100)
	heal := s.Inject(kmstest.Fault{Method: "AsymmetricSign", Hang: hung})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hung; cancel() }()
	soon(t, func() {
		if _, err := k.Sign(ctx, payloads); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want one that wraps context.Canceled", err)
		}
	})
	if n := s.Calls("AsymmetricSign"); n > 16 {
		t.Errorf("%d were asked for, want no more than were in flight", n)
	}
	heal()
	works(t, k, public)
}

func TestOpenTouchesNothing(t *testing.T) {
	t.Parallel()
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
