package ckr

import (
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

func TestTable(t *testing.T) {
	last := OK
	for _, r := range table() {
		if r.code <= last {
			t.Errorf("%s (0x%X) is not above the row before it", r.name, uint64(r.code))
		}
		last = r.code
		if r.class < Retry || r.class > FatalToken {
			t.Errorf("%s has no class", r.name)
		}
		// The names are the library's, which are the standard's; the library
		// ends its messages with them. 0x202 is newer than its table.
		if msg := pkcs11.Error(r.code).Error(); !strings.HasSuffix(msg, ": "+r.name) && r.code != 0x202 {
			t.Errorf("%s is not what 0x%X is called: %s", r.name, uint64(r.code), msg)
		}
	}
}
