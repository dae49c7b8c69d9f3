package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps secrets of this process out of reach: no core dump, no ptrace and
// no /proc/PID/mem by other processes of the same user, and no file that others
// can read unless it is meant for them.
func harden() error {
	unix.Umask(0o077)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process undumpable: %w", err)
	}
	return nil
}
