package pkcs11_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	backend "github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// TestWrongSignature has the module make a wrong signature. A backend delivers what
// the module made; what the core does with every result, verifying it, shows the
// fault.
func TestWrongSignature(t *testing.T) {
	f := newFaultRig(t)
	_, k := f.start(t, backend.KeyOptions{})
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.FlipBit, Times: 1})
	payloads := []capgo.Payload{payload(t, "a"), payload(t, "b")}
	got, err := k.Sign(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.public.Verify(payloads[0], got[0]); err == nil {
		t.Error("a signature with a wrong bit verifies")
	}
	if err := f.public.Verify(payloads[1], got[1]); err != nil {
		t.Errorf("the signature beside the wrong one: %v", err)
	}
}

// TestShortSignature has the module return 255 bytes: nothing of the batch comes
// back.
func TestShortSignature(t *testing.T) {
	f := newFaultRig(t)
	r, k := f.start(t, backend.KeyOptions{})
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.CutByte, Skip: 1, Times: 1})
	got, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a"), payload(t, "b"), payload(t, "c")})
	if err == nil || len(got) != 0 {
		t.Errorf("%d signatures and error %v, want none and one", len(got), err)
	}
	wantError(t, err, signer.ErrKeyUnusable, "255 bytes")
	mustSign(t, k)
	if n := r.count(opened); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

// TestCrashes has the module take its process with it, at each place: a single
// crash goes unnoticed, one that comes every time is an error after two processes.
func TestCrashes(t *testing.T) {
	f := newFaultRig(t)
	for _, action := range []faultmodule.Action{faultmodule.Crash, faultmodule.Abort} {
		for _, function := range []string{"C_SignInit", "C_Sign", "C_FindObjects"} {
			t.Run(fmt.Sprintf("%s, action %d", function, action), func(t *testing.T) {
				r, k := f.start(t, backend.KeyOptions{})
				if function != "C_FindObjects" { // which is used once in a process
					mustSign(t, k)
				}
				f.fake.Inject(faultmodule.Fault{Function: function, Action: action, Times: 1})
				mustSign(t, k)
				if n := r.count(opened); n != 2 {
					t.Errorf("%d processes were opened, want 2", n)
				}
			})
		}
	}
	t.Run("every time", func(t *testing.T) {
		_, k := f.start(t, backend.KeyOptions{})
		mustSign(t, k)
		before := f.tally()
		f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Crash})
		wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "the module's process ended")
		if n := f.tally().since(before)["C_Sign"]; n != 2 {
			t.Errorf("%d processes crashed, want 2", n)
		}
		f.fake.Heal()
		eventually(t, "signing again", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
	})
	t.Run("with a batch in it", func(t *testing.T) {
		_, k := f.start(t, backend.KeyOptions{MaxSessions: 4})
		var payloads []capgo.Payload
		for i := range 100 {
			payloads = append(payloads, payload(t, fmt.Sprint(i)))
		}
		f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Crash, Skip: 30, Times: 1})
		got, err := k.Sign(t.Context(), payloads)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range payloads {
			if err := f.public.Verify(p, got[i]); err != nil {
				t.Errorf("payload %d: %v", i, err)
			}
		}
	})
}

// TestHangs has the module hang in a call, deaf to signals. The process is killed at
// the deadline and its orders are given to the next, that which hung among them.
func TestHangs(t *testing.T) {
	f := newFaultRig(t)
	t.Run("once", func(t *testing.T) {
		// Long enough for calls that go well on a slow machine.
		r, k := f.start(t, backend.KeyOptions{Timeout: 3 * time.Second, MaxSessions: 2})
		mustSign(t, k)
		pid := r.pid()
		f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.HangDeaf, Times: 1})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := sign(context.WithoutCancel(t.Context()), t, k); err != nil {
					t.Errorf("signing over a hang: %v", err)
				}
			})
		}
		wg.Wait()
		eventually(t, "the process that hung is gone", func() bool { return !alive(pid) })
		if n := r.count(opened); n != 2 {
			t.Errorf("%d processes, want 2", n)
		}
	})
	t.Run("every time", func(t *testing.T) {
		_, k := f.start(t, backend.KeyOptions{Timeout: time.Second})
		f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Hang})
		began := time.Now()
		wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "no answer within 1s")
		if took := time.Since(began); took > patience {
			t.Errorf("two deadlines of 1 s took %s", took)
		}
		f.fake.Heal()
		eventually(t, "signing again", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
	})
}

// TestSlowModule has each signature take long: a batch that takes longer than the
// deadline of one operation is signed all the same.
func TestSlowModule(t *testing.T) {
	f := newFaultRig(t)
	// Of the deadline an order needs a tenth, as long as the machine is not busy.
	r, k := f.start(t, backend.KeyOptions{Timeout: 5 * time.Second, MaxSessions: 1})
	mustSign(t, k)
	f.fake.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Delay, Delay: 55 * time.Millisecond})
	var payloads []capgo.Payload
	for i := range 100 { // 5.5 s in all
		payloads = append(payloads, payload(t, fmt.Sprint(i)))
	}
	if _, err := k.Sign(t.Context(), payloads); err != nil {
		t.Errorf("signing %d payloads slowly: %v", len(payloads), err)
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d processes, want 1: the module was slow, it did not hang", n)
	}
}

// TestTokenGone has the token pulled out and put back.
func TestTokenGone(t *testing.T) {
	f := newFaultRig(t)
	for _, code := range []ckr.Code{pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT} {
		t.Run(code.String(), func(t *testing.T) {
			_, k := f.start(t, backend.KeyOptions{})
			mustSign(t, k)
			for _, function := range []string{"C_SignInit", "C_OpenSession", "C_GetTokenInfo"} {
				f.fake.Inject(faultmodule.Fault{Function: function, Code: code})
			}
			for range 2 {
				wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "")
			}
			f.fake.Heal()
			eventually(t, "signing again", func() bool { return sign(context.WithoutCancel(t.Context()), t, k) == nil })
		})
	}
}

// TestFewSessions has the token allow few sessions, whether it says so or not, down
// to a single one.
func TestFewSessions(t *testing.T) {
	shared := newFaultRig(t)
	for _, test := range []struct {
		name         string
		says, allows uint64 // 0: it does not say
	}{
		{"says 3", 3, 3},
		{"says nothing, allows 3", 0, 3},
		{"says 100, allows 3", 100, 3},
		{"says 2^64-2, as opencryptoki does, allows 3", 1<<64 - 2, 3},
		{"says 1", 1, 1},
		{"says 100, allows 1", 100, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := shared.fresh(t)
			if test.says > 0 {
				f.fake.SetMaxSessions(test.says)
			}
			f.fake.LimitSessions(test.allows)
			_, k := f.start(t, backend.KeyOptions{MaxSessions: 8})
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					p := payload(t, fmt.Sprint(g))
					got, err := k.Sign(context.WithoutCancel(t.Context()), []capgo.Payload{p})
					if err != nil {
						t.Error(err)
						return
					}
					if err := f.public.Verify(p, got[0]); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestLyingAttributes has the token deny what the key was made with: it proves
// nothing then, whatever else it says.
func TestLyingAttributes(t *testing.T) {
	shared := newFaultRig(t)
	for _, test := range []struct {
		attribute uint64
		value     bool
		want      signer.CustodyLevel
	}{
		{pkcs11.CKA_SENSITIVE, false, signer.Software},
		{pkcs11.CKA_EXTRACTABLE, true, signer.Software},
		{pkcs11.CKA_ALWAYS_SENSITIVE, false, signer.NonExtractable},
		{pkcs11.CKA_NEVER_EXTRACTABLE, false, signer.NonExtractable},
		{pkcs11.CKA_LOCAL, false, signer.NonExtractable},
	} {
		t.Run(fmt.Sprintf("%#x %t", test.attribute, test.value), func(t *testing.T) {
			f := shared.fresh(t)
			_, k := f.start(t, backend.KeyOptions{})
			f.fake.Claim(test.attribute, test.value)
			e, err := k.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Custody.Level != test.want {
				t.Errorf("custody %q, want %q", e.Custody.Level, test.want)
			}
		})
	}
}
