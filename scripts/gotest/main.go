// Command gotest runs `go test` and fails if a test was skipped: in this project
// a skipped test would hide a missing part. It prints what `go test` prints, that
// is a line for each package and the output of those tests that failed.
//
// Usage: go run ./scripts/gotest [go test arguments]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The terminal's interrupt reaches go test by itself; this process has to
	// live until it has cleaned up.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return err
	}
	skipped, filterErr := filter(out, os.Stdout)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if filterErr != nil {
		return filterErr
	}
	if len(skipped) > 0 {
		return fmt.Errorf("found %d skipped tests, want none (the reason stands above); first: %s", len(skipped), skipped[0])
	}
	return nil
}
