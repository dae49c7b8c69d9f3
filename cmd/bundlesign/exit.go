package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/logtree"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// The exit codes. They are stable: scripts compare them.
const (
	exitOK          = 0
	exitInternal    = 1
	exitBadInput    = 2
	exitDenied      = 3
	exitPending     = 4
	exitUnavailable = 5
	exitUntrusted   = 6
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes of bundlesign:

  0  it worked
  1  internal: bundlesign, the daemon or this machine failed (a request that could
     not be signed, a full disk, an interruption)
  2  bad input: a flag, a file or a field of the submission is wrong
  3  denied: by the policy, an approver or a freeze, expired, cancelled, or not yours
     to do (an approval that does not count, a token that is not good)
  4  pending: the request still waits for approvals, and the time to wait is over
  5  unavailable: the daemon cannot be reached, is busy or degraded, or its key or
     state is unavailable; trying again later can help
  6  not to be trusted: a check of verify or doctor failed, the daemon's answer contradicts
     the key or the log, or the log is not intact`,
	}
}

// usageError is a command line that cobra or a command did not understand.
type usageError struct {
	err     error
	command string
}

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// inputError is a file or value that the user gave and that is not right.
type inputError struct {
	err  error
	hint string
}

func (e *inputError) Error() string { return e.err.Error() }

func (e *inputError) Unwrap() error { return e.err }

// verificationError is a check that failed.
type verificationError struct {
	err    error
	hint   string
	checks []check // what was checked, if there is more than err
}

func (e *verificationError) Error() string { return e.err.Error() }

func (e *verificationError) Unwrap() error { return e.err }

// degradedError is a daemon that answers and is not well. The status that was
// printed says why.
type degradedError struct{ detail string }

func (e *degradedError) Error() string { return "the daemon is degraded: " + e.detail }

// undeliveredError is a result that could not be written to stdout, for example
// because that is a full disk. All that was done before it is done.
type undeliveredError struct {
	err     error
	written string // the file that was written before, if any
}

func (e *undeliveredError) Error() string {
	text := "writing the result to stdout: " + e.err.Error()
	if e.written != "" {
		text += "; " + e.written + " was written"
	}
	return text
}

func (e *undeliveredError) Unwrap() error { return e.err }

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var (
		usage       *usageError
		input       *inputError
		failed      *verificationError
		untrusted   *client.UntrustedError
		broken      *logtree.BrokenError
		rewritten   *logtree.RewrittenError
		check       *capgo.CheckError
		pending     *client.PendingError
		state       *client.StateError
		unreachable *client.UnreachableError
		degraded    *degradedError
		problem     *wire.Problem
		undelivered *undeliveredError
		unhealthy   *unhealthyError
	)
	publishing, isPublishing := publishCode(err)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &undelivered):
		return exitInternal
	case errors.As(err, &failed), errors.As(err, &unhealthy), errors.As(err, &untrusted), errors.As(err, &broken),
		errors.As(err, &rewritten), errors.As(err, &check):
		return exitUntrusted
	case errors.As(err, &usage), errors.As(err, &input):
		return exitBadInput
	case errors.Is(err, context.Canceled):
		return exitInternal
	case isPublishing:
		return publishing
	case errors.As(err, &pending):
		return exitPending
	case errors.As(err, &state):
		if state.Signature.State == client.StateFailed {
			return exitInternal
		}
		return exitDenied
	case errors.As(err, &unreachable):
		if unreachable.Reason == client.PathTooLong || unreachable.Reason == client.BadAddress {
			return exitBadInput
		}
		return exitUnavailable
	case errors.As(err, &degraded):
		return exitUnavailable
	case errors.As(err, &problem):
		return problemCode(problem)
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, outfile.ErrNotRegular):
		return exitBadInput
	}
	return exitInternal
}

func problemCode(p *wire.Problem) int {
	switch p.Type {
	case wire.ProblemInvalidBody, wire.ProblemInvalidField, wire.ProblemBodyTooLarge, wire.ProblemNotFound,
		wire.ProblemNoKey, wire.ProblemConflict, wire.ProblemKeyReuse:
		return exitBadInput
	case wire.ProblemDenied, wire.ProblemForbidden, wire.ProblemApproval, wire.ProblemToken:
		return exitDenied
	case wire.ProblemTooMany, wire.ProblemBusy, wire.ProblemKeyUnavailable, wire.ProblemKeyUnusable,
		wire.ProblemStore, wire.ProblemClock, wire.ProblemStopping, wire.ProblemPeer, wire.ProblemTokenIssuer:
		return exitUnavailable
	}
	// failed, internal, and what only a bug or another version can cause.
	return exitInternal
}
