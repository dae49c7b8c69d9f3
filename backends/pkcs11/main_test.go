package pkcs11_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/backends/pkcs11/child"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
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
		case provision.Arg:
			os.Exit(provision.Main())
		case daemonArg:
			os.Exit(daemonToBeKilled(os.Args[2:]))
		}
	}
	// A program with the race detector sleeps for a second before it ends, so as to
	// hear of more races: too long for the many processes that are started here.
	if err := os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
