package faultmodule_test

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
)

// TestFake holds the fake to what it says of itself, in this process; the faults
// that end a process are used by the tests of package pkcs11.
func TestFake(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	m := faultmodule.New(t, tk.ModulePath)
	m.WantInitArgs()
	ctx := pkcs11.New(m.Path())
	if ctx == nil {
		t.Fatal("the fake module cannot be loaded")
	}
	want(t, "C_Initialize without arguments", ctx.Initialize(), pkcs11.CKR_ARGUMENTS_BAD)
	must(t, ctx.Initialize(pkcs11.InitializeWithReserved(unsafe.Pointer(&[]byte("a=b\x00")[0]))))
	if got := m.InitArgs(); got != "a=b" {
		t.Errorf("the argument of C_Initialize was %q, want a=b", got)
	}
	t.Cleanup(func() { must(t, ctx.Finalize()) })

	slot, session := open(t, ctx, tk.Label)
	m.SetFlags(pkcs11.CKF_USER_PIN_FINAL_TRY|pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH, pkcs11.CKF_RNG)
	m.SetMaxSessions(7)
	info, err := ctx.GetTokenInfo(slot)
	must(t, err)
	if info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY == 0 || info.Flags&pkcs11.CKF_RNG != 0 || info.MaxSessionCount != 7 {
		t.Errorf("token: flags %#x, %d sessions", info.Flags, info.MaxSessionCount)
	}
	m.LimitSessions(1)
	_, err = ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	want(t, "a second session", err, pkcs11.CKR_SESSION_COUNT)

	m.Inject(faultmodule.Fault{Function: "C_Login", Code: pkcs11.CKR_PIN_LOCKED, Skip: 1, Times: 1})
	want(t, "C_Login with a wrong PIN", ctx.Login(session, pkcs11.CKU_USER, "wrong"), pkcs11.CKR_PIN_INCORRECT)
	want(t, "C_Login with a fault", ctx.Login(session, pkcs11.CKU_USER, softhsmtest.PIN), pkcs11.CKR_PIN_LOCKED)
	must(t, ctx.Login(session, pkcs11.CKU_USER, softhsmtest.PIN))
	if n := m.Calls("C_Login"); n != 3 {
		t.Errorf("C_Login was counted %d times, want 3", n)
	}
	testSign(t, ctx, session, m)
}

func testSign(t *testing.T, ctx *pkcs11.Ctx, session pkcs11.SessionHandle, m *faultmodule.Module) {
	t.Helper()
	key := find(t, ctx, session)
	data := make([]byte, 32)
	sign := func(mechanism uint, data []byte) ([]byte, error) {
		must(t, ctx.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key))
		return ctx.Sign(session, data)
	}
	good, err := sign(pkcs11.CKM_RSA_PKCS, data)
	must(t, err)

	m.Inject(faultmodule.Fault{Function: "C_Sign", Code: pkcs11.CKR_DEVICE_REMOVED, Times: 2})
	for range 2 {
		_, err = sign(pkcs11.CKM_RSA_PKCS, data)
		want(t, "C_Sign with a fault", err, pkcs11.CKR_DEVICE_REMOVED)
	}
	for _, test := range []struct {
		fault faultmodule.Fault
		bytes int
		bits  int // that differ
	}{
		{faultmodule.Fault{Function: "C_Sign"}, 256, 0}, // healed below
		{faultmodule.Fault{Function: "C_Sign", Action: faultmodule.FlipBit}, 256, 1},
		{faultmodule.Fault{Function: "C_Sign", Action: faultmodule.CutByte}, 255, 0},
	} {
		m.Inject(test.fault)
		if test.fault.Action == faultmodule.Return {
			m.Heal()
		}
		got, err := sign(pkcs11.CKM_RSA_PKCS, data)
		must(t, err)
		if bits := differ(got, good); len(got) != test.bytes || bits != test.bits {
			t.Errorf("action %d: %d bytes, %d bits differ; want %d and %d", test.fault.Action, len(got), bits, test.bytes, test.bits)
		}
	}
	const delay = 50 * time.Millisecond
	m.Inject(faultmodule.Fault{Function: "C_Sign", Action: faultmodule.Delay, Delay: delay, Times: 1})
	began := time.Now()
	_, err = sign(pkcs11.CKM_RSA_PKCS, data)
	must(t, err)
	if took := time.Since(began); took < delay {
		t.Errorf("a C_Sign with a delay of %s took %s", delay, took)
	}

	m.Claim(pkcs11.CKA_SENSITIVE, false)
	got, err := ctx.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil)})
	must(t, err)
	if got[0].Value[0] != 0 {
		t.Error("the fake did not lie about CKA_SENSITIVE")
	}
	m.RefuseShortPKCS1(pkcs11.CKR_DATA_INVALID)
	_, err = sign(pkcs11.CKM_RSA_PKCS, data)
	want(t, "data that is no DigestInfo", err, pkcs11.CKR_DATA_INVALID)
	_, err = sign(pkcs11.CKM_RSA_X_509, append(data, 1))
	must(t, err)
	m.OmitPKCS1()
	err = ctx.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)}, key)
	want(t, "C_SignInit without the mechanism", err, pkcs11.CKR_MECHANISM_INVALID)
}

func open(t *testing.T, ctx *pkcs11.Ctx, label string) (uint, pkcs11.SessionHandle) {
	t.Helper()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.Label == label {
			session, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
			must(t, err)
			return slot, session
		}
	}
	t.Fatal("the token is not there")
	return 0, 0
}

func find(t *testing.T, ctx *pkcs11.Ctx, session pkcs11.SessionHandle) pkcs11.ObjectHandle {
	t.Helper()
	must(t, ctx.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}))
	found, _, err := ctx.FindObjects(session, 2)
	must(t, err)
	must(t, ctx.FindObjectsFinal(session))
	if len(found) != 1 {
		t.Fatalf("%d keys", len(found))
	}
	return found[0]
}

// differ counts the bits in which a and the beginning of b differ.
func differ(a, b []byte) int {
	n := 0
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

func want(t *testing.T, what string, err error, code uint) {
	t.Helper()
	var got pkcs11.Error
	if !errors.As(err, &got) || uint(got) != code {
		t.Errorf("%s: %v, want code %#x", what, err, code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
