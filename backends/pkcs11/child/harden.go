package child

import (
	"fmt"
	"os/signal"

	"golang.org/x/sys/unix"
)

// harden keeps what is in this process in it. PINs and session keys pass
// through, so there are no core dumps and no other process of the same user may
// look in. When to end is the daemon's decision, which has to finish what it has
// begun: a signal to the whole group, from a terminal or a service manager, is
// ignored. (That this process dies with the daemon was arranged by the daemon
// when it started it, with PR_SET_PDEATHSIG.)
func harden() error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	return nil
}
