package ckr_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
)

// TestClass holds the choices that matter most; the numbers are the standard's.
func TestClass(t *testing.T) {
	for _, test := range []struct {
		code ckr.Code
		name string
		want ckr.Class
	}{
		{0x002, "CKR_HOST_MEMORY (0x2)", ckr.Retry},
		{0x005, "CKR_GENERAL_ERROR (0x5)", ckr.Reload},
		{0x030, "CKR_DEVICE_ERROR (0x30)", ckr.Reload}, // p11-kit's answer for ever after its server died
		{0x063, "CKR_KEY_TYPE_INCONSISTENT (0x63)", ckr.FatalKey},
		{0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED (0x68)", ckr.FatalKey},
		{0x082, "CKR_OBJECT_HANDLE_INVALID (0x82)", ckr.NewSession}, // after logout, or the key was deleted
		{0x090, "CKR_OPERATION_ACTIVE (0x90)", ckr.NewSession},
		{ckr.PINIncorrect, "CKR_PIN_INCORRECT (0xA0)", ckr.FatalToken}, // anything else would lock the token
		{ckr.PINLocked, "CKR_PIN_LOCKED (0xA4)", ckr.FatalToken},
		{ckr.SessionCount, "CKR_SESSION_COUNT (0xB1)", ckr.Retry},
		{0x0B3, "CKR_SESSION_HANDLE_INVALID (0xB3)", ckr.NewSession},
		{0x0E0, "CKR_TOKEN_NOT_PRESENT (0xE0)", ckr.Reload},
		{ckr.UserNotLoggedIn, "CKR_USER_NOT_LOGGED_IN (0x101)", ckr.Relogin},
		{0x190, "CKR_CRYPTOKI_NOT_INITIALIZED (0x190)", ckr.Reload},
		{0x80001234, "a code of the vendor's (0x80001234)", ckr.Reload},
		{0x7777, "a code of the vendor's (0x7777)", ckr.Reload},
	} {
		if got := test.code.Class(); got != test.want {
			t.Errorf("%s: class %q, want %q", test.name, got, test.want)
		}
		if got := test.code.Error(); got != test.name {
			t.Errorf("name of 0x%X: %q, want %q", uint64(test.code), got, test.name)
		}
	}
}

// TestNoPINErrorIsTriedAgain covers the whole range of PIN errors: each attempt
// with a wrong PIN brings the token nearer to locking.
func TestNoPINErrorIsTriedAgain(t *testing.T) {
	for code := ckr.Code(0x0A0); code <= 0x0A4; code++ {
		if got := code.Class(); got != ckr.FatalToken {
			t.Errorf("%s: class %q, want %q", code, got, ckr.FatalToken)
		}
	}
}
