package main

import (
	"errors"

	"github.com/bundlesign/bundlesign/config"
)

// Exit codes. They are stable: docs/operations.md has them in a table. The hidden
// command of a PKCS#11 module has codes of its own, for the daemon alone.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// exitCodeOf is the one place where an error becomes an exit code.
func exitCodeOf(err error) int {
	var (
		coded  exitCode
		usage  *usageError
		refuse *configError
		faults config.Errors
		input  *config.InputError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return int(coded)
	case errors.As(err, &usage), errors.As(err, &refuse), errors.As(err, &faults), errors.As(err, &input):
		return exitUsage
	}
	return exitError
}

// usageError is a command line, or a file that it names, that cannot be right.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
