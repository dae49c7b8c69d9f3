package pkcs11_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/p11kittest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// remote is a token behind a server that can fail as a network HSM does.
type remote struct {
	*rig
	server *p11kittest.Server
	fake   *faultmodule.Module // behind the server
	public *capgo.PublicKey
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	fake := faultmodule.New(t, tk.ModulePath)
	server := p11kittest.New(t, fake.Path(), tk.Label)
	cfg := softHSM(t, tk)
	cfg.ModulePath = server.ModulePath
	return &remote{newRig(t, cfg), server, fake, public}
}

// recovers measures how long it takes from now until a signature is made again. The
// bar, for an idle machine, is 2 s; a test machine may be a busy one.
func (r *remote) recovers(t *testing.T, k *pkcs11.Key) {
	t.Helper()
	const bar, limit = 2 * time.Second, 15 * time.Second
	began := time.Now()
	eventually(t, "signing again", func() bool {
		err := sign(context.WithoutCancel(t.Context()), t, k)
		if err != nil && !errors.Is(err, signer.ErrUnavailable) {
			t.Errorf("while the server is there again: %v", err)
		}
		return err == nil
	})
	took := time.Since(began)
	t.Logf("signed again %s after the server's return (bar: %s)", took.Round(time.Millisecond), bar)
	if took > limit {
		t.Errorf("that is above %s", limit)
	}
}

func TestServerKilled(t *testing.T) {
	r := newRemote(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	for range 3 {
		r.server.Kill()
		for range 3 {
			wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "")
		}
		r.server.Start()
		r.recovers(t, k)
	}
}

// TestServerKilledOver has the server away for less than two calls are apart: the
// daemon's callers do not notice.
func TestServerKilledOver(t *testing.T) {
	r := newRemote(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	for range 3 {
		mustSign(t, k)
		r.server.Kill()
		r.server.Start()
	}
	mustSign(t, k)
}

// TestServerNotThereYet starts the daemon long before the HSM: so many attempts
// failed that it no longer tries all the time.
func TestServerNotThereYet(t *testing.T) {
	r := newRemote(t)
	r.server.Kill()
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	eventually(t, "several attempts have failed", func() bool {
		wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "")
		return r.count(gone) >= 7
	})
	r.server.Start()
	r.recovers(t, k)
}

func TestServerFrozen(t *testing.T) {
	r := newRemote(t)
	r.SetOpenTimeout(5 * time.Second)
	k := r.key(pkcs11.KeyOptions{Object: "acme", Timeout: 2 * time.Second})
	mustSign(t, k)
	r.server.Freeze()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := sign(ctx, t, k); err == nil {
		t.Error("a frozen server signed")
	}
	if took := time.Since(began); took > patience {
		t.Errorf("a deadline of 3s took %s", took)
	}
	r.server.Thaw()
	r.recovers(t, k)
}

func TestServerSlow(t *testing.T) {
	r := newRemote(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	r.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Delay, Delay: 20 * time.Millisecond})
	var payloads []capgo.Payload
	for i := range 30 {
		payloads = append(payloads, payload(t, fmt.Sprint(i)))
	}
	got, err := k.Sign(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range payloads {
		if err := r.public.Verify(p, got[i]); err != nil {
			t.Errorf("payload %d: %v", i, err)
		}
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

// TestServerFailsUnderLoad has the server killed again and again while callers sign,
// each until it has its signature. None is lost and none is wrong.
func TestServerFailsUnderLoad(t *testing.T) {
	const callers, failures = 4, 10
	r := newRemote(t)
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	var stop atomic.Bool
	var signed, refused atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var wg sync.WaitGroup
	for g := range callers {
		wg.Go(func() {
			for i := 0; !stop.Load() && ctx.Err() == nil; i++ {
				p := payload(t, fmt.Sprint(g, i))
				for ctx.Err() == nil {
					got, err := k.Sign(ctx, []capgo.Payload{p})
					if err == nil {
						if err := r.public.Verify(p, got[0]); err != nil {
							t.Errorf("caller %d, payload %d: %v", g, i, err)
						}
						signed.Add(1)
						break
					}
					if !errors.Is(err, signer.ErrUnavailable) {
						t.Errorf("caller %d, payload %d: %v", g, i, err)
						return
					}
					refused.Add(1)
					pause(ctx)
				}
			}
		})
	}
	for range failures {
		enough := signed.Load() + callers
		eventually(t, "signing goes on", func() bool { return signed.Load() >= enough || t.Failed() })
		r.server.Kill()
		r.server.Start()
	}
	enough := signed.Load() + callers
	eventually(t, "signing goes on after the last failure", func() bool { return signed.Load() >= enough || t.Failed() })
	stop.Store(true)
	wg.Wait()
	t.Logf("%d signatures over %d failures; %d calls were refused and repeated", signed.Load(), failures, refused.Load())
}

// pause keeps callers that are refused from making a busy loop.
func pause(ctx context.Context) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
