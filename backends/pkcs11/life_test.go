package pkcs11_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func newSoftHSMRig(t *testing.T) (*rig, *softhsmtest.Token, *capgo.PublicKey) {
	t.Helper()
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	return newRig(t, softHSM(t, tk)), tk, public
}

// TestKilledInTheMiddle kills the child while an order is in it: the caller does
// not notice.
func TestKilledInTheMiddle(t *testing.T) {
	r, _, _ := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	pid := r.pid()
	r.freeze(pid) // so that the order surely is not finished
	done := make(chan error)
	go func() { done <- sign(context.Background(), t, k) }()
	eventually(t, "the order is sent", func() bool { return r.Orders() == 1 })
	r.signal(pid, syscall.SIGKILL)
	if err := <-done; err != nil {
		t.Errorf("signing over a crash: %v", err)
	}
	if now := r.pid(); now == pid {
		t.Error("no new child was opened")
	}
	if n := r.count(gone); n != 1 {
		t.Errorf("the crash was logged %d times, want once", n)
	}
}

// TestKilledUnderLoad kills child after child while many callers sign.
func TestKilledUnderLoad(t *testing.T) {
	r, _, public := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	var stop atomic.Bool
	var signed [8]atomic.Int64 // calls, by goroutine
	var wg sync.WaitGroup
	for g := range signed {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				payloads := []capgo.Payload{payload(t, fmt.Sprint(g, i)), capgo.SessionKeyPayload(), payload(t, fmt.Sprint(g, -i))}
				got, err := k.Sign(t.Context(), payloads)
				if err != nil {
					t.Errorf("goroutine %d, call %d: %v", g, i, err)
					return
				}
				for j, p := range payloads {
					if err := public.Verify(p, got[j]); err != nil {
						t.Errorf("goroutine %d, call %d, payload %d: %v", g, i, j, err)
					}
				}
				signed[g].Add(1)
			}
		})
	}
	for range 5 {
		before := r.count(opened)
		r.signal(r.pid(), syscall.SIGKILL)
		eventually(t, "a new child is opened", func() bool { return r.count(opened) > before })
		// A call is repeated once only: those that were repeated must get through
		// before the next blow. The second call from now was not begun yet.
		for g := range signed {
			enough := signed[g].Load() + 2
			eventually(t, "signing goes on", func() bool { return signed[g].Load() >= enough || t.Failed() })
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestFrozen stops the child in the middle: the deadline holds, and the order is
// given to a new child.
func TestFrozen(t *testing.T) {
	// Long enough for the new child's first signature on a slow machine.
	const deadline = 4 * time.Second
	r, _, _ := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme", Timeout: deadline})
	mustSign(t, k)
	pid := r.pid()
	r.freeze(pid)
	began := time.Now()
	mustSign(t, k)
	if took := time.Since(began); took < deadline || took > patience {
		t.Errorf("a deadline of %s took %s", deadline, took)
	}
	eventually(t, "the frozen process is gone", func() bool { return !alive(pid) })
}

// TestCallersPatience has a caller give up before the module's deadline: it leaves
// at once, and the module, which answers in time after all, is not restarted.
func TestCallersPatience(t *testing.T) {
	r, _, _ := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme", Timeout: patience})
	mustSign(t, k)
	pid := r.pid()
	r.freeze(pid)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantError(t, sign(ctx, t, k), context.DeadlineExceeded, "waiting for the module")
	_, err := k.Inspect(ctx)
	wantError(t, err, context.DeadlineExceeded, "")
	r.signal(pid, syscall.SIGCONT)
	mustSign(t, k)
	if r.pid() != pid {
		t.Error("the child was restarted although it answered within its deadline")
	}
}

// TestCloseWaits closes a key while an order of its is in a frozen child: new calls
// are refused from then on, the one in flight is not broken off.
func TestCloseWaits(t *testing.T) {
	r, _, _ := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme", Timeout: patience})
	mustSign(t, k)
	pid := r.pid()
	r.freeze(pid)
	signed, closed := make(chan error, 1), make(chan error, 1)
	go func() { signed <- sign(context.Background(), t, k) }()
	eventually(t, "the order is sent", func() bool { return r.Orders() == 1 })
	go func() { closed <- k.Close() }()
	eventually(t, "new calls are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return errors.Is(sign(ctx, t, k), signer.ErrKeyUnusable)
	})
	select {
	case <-closed:
		t.Error("the key was closed with an order in the module")
	default:
	}
	r.signal(pid, syscall.SIGCONT)
	if err := <-signed; err != nil {
		t.Errorf("the call in flight was broken off: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("frozen %t", frozen), func(t *testing.T) {
			r, _, _ := newSoftHSMRig(t)
			k := r.key(pkcs11.KeyOptions{Object: "acme"})
			mustSign(t, k)
			pid := r.pid()
			if frozen {
				r.freeze(pid)
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if alive(pid) {
				t.Error("the child is still there")
			}
			if killed := r.count(stubborn) > 0; killed != frozen {
				t.Errorf("the child was killed: %t, want %t: one that can end by itself does", killed, frozen)
			}
			wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "closed")
		})
	}
}

// TestKeyDeletedAndMadeAgain changes the token behind the child's back.
func TestKeyDeletedAndMadeAgain(t *testing.T) {
	r, tk, _ := newSoftHSMRig(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	tk.Delete("acme")
	wantError(t, sign(t.Context(), t, k), signer.ErrKeyUnusable, "the token has no such private key")
	public := tk.GenerateKey("acme")
	p := payload(t, "bundle")
	got, err := k.Sign(t.Context(), []capgo.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(p, got[0]); err != nil {
		t.Errorf("the new key was not used: %v", err)
	}
	if e, err := k.Inspect(t.Context()); err != nil || !e.PublicKey.Equal(public) {
		t.Errorf("the new key is not shown: %v", err)
	}
}

// TestBeforeTheToken has the daemon start before its HSM is there: it says so, and
// goes on when it comes.
func TestBeforeTheToken(t *testing.T) {
	r, tk, _ := newSoftHSMRig(t)
	show := tk.Hide()
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	for range 3 {
		wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "the module shows no token at all: connect the HSM")
	}
	show()
	eventually(t, "signing", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
}
