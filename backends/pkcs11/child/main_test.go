package child

import (
	"fmt"
	"os"
	"os/signal"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// hardenArg makes the test binary harden itself and say what came of it.
const hardenArg = "harden-and-report"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == hardenArg {
		os.Exit(hardenAndReport())
	}
	goleak.VerifyTestMain(m)
}

func hardenAndReport() int {
	if err := harden(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return 1
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return 1
	}
	fmt.Printf("dumpable %d, core %d/%d, ignored %t %t %t\n", dumpable, core.Cur, core.Max,
		signal.Ignored(unix.SIGINT), signal.Ignored(unix.SIGTERM), signal.Ignored(unix.SIGHUP))
	return 0
}
