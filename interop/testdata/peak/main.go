// Command peak runs a program and notes how long it took and the most memory that it
// had, in KiB.
//
// Whoever measures must be small: Linux counts for a new process what the one had that
// started it, up to the moment when the program is loaded (exec_mmap in fs/exec.c).
//
// Usage: peak NOTE PROGRAM [ARGUMENT...]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start).Seconds()
	if err == nil {
		used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		err = os.WriteFile(os.Args[1], fmt.Appendf(nil, "%g %d", took, used.Maxrss), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peak:", err)
		os.Exit(1)
	}
}
