package pkcs11_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/backends/pkcs11/child"
)

// The test binary is started again as other processes; its first argument says as
// which.
const (
	childArg  = "pkcs11-module"      // the real child
	fakeArg   = "fake-hostile-child" // then the name of its trick
	daemonArg = "daemon-to-be-killed"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case childArg:
			os.Exit(child.Run())
		case fakeArg:
			os.Exit(fakeHostileChild(os.Args[2]))
		case daemonArg:
			os.Exit(daemonToBeKilled(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}
