package ckr

import (
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

func TestTable(t *testing.T) {
	newer := map[Code]string{
		pkcs11.CKR_ACTION_PROHIBITED:     "CKR_ACTION_PROHIBITED",
		pkcs11.CKR_CURVE_NOT_SUPPORTED:   "CKR_CURVE_NOT_SUPPORTED",
		pkcs11.CKR_FIPS_SELF_TEST_FAILED: "CKR_FIPS_SELF_TEST_FAILED",
		pkcs11.CKR_LIBRARY_LOAD_FAILED:   "CKR_LIBRARY_LOAD_FAILED",
		pkcs11.CKR_PUBLIC_KEY_INVALID:    "CKR_PUBLIC_KEY_INVALID",
		// PKCS#11 v3.0 and v3.1, which the library does not know.
		0x201: "CKR_TOKEN_RESOURCE_EXCEEDED",
		0x202: "CKR_OPERATION_CANCEL_FAILED",
	}
	last := OK
	for _, r := range table() {
		if r.code <= last {
			t.Errorf("%s (0x%X) is not above the row before it", r.name, uint64(r.code))
		}
		last = r.code
		if r.class < Retry || r.class > FatalToken {
			t.Errorf("%s has no class", r.name)
		}
		// The names are the library's, which are the standard's; the library ends
		// its messages with those that it knows.
		name, newer := newer[r.code]
		if !newer {
			_, name, _ = strings.Cut(pkcs11.Error(r.code).Error(), ": CKR_")
			name = "CKR_" + name
		}
		if name != r.name {
			t.Errorf("0x%X is called %s in the table, want %s", uint64(r.code), r.name, name)
		}
	}
}
