package backends_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/backends/pkcs11/child"
)

// childArg makes the test binary run as the process that holds a PKCS#11 module.
const childArg = "pkcs11-module"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		os.Exit(child.Run())
	}
	goleak.VerifyTestMain(m)
}
