package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/logtree"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

func TestExitCodes(t *testing.T) {
	problem := func(typ string) error { return &wire.Problem{Type: typ, Detail: "x"} }
	state := func(s string) error { return &client.StateError{Signature: &wire.Signature{State: s}} }
	pending := &client.PendingError{Signature: &wire.Signature{State: client.StatePending}}
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("a bug"), exitInternal},
		{syscall.ENOSPC, exitInternal},
		{&undeliveredError{err: fs.ErrPermission}, exitInternal},
		{&client.ProtocolError{}, exitInternal},
		{state(client.StateFailed), exitInternal},
		{problem(wire.ProblemFailed), exitInternal},
		{problem(wire.ProblemInternal), exitInternal},
		{problem(wire.ProblemMethod), exitInternal},
		{problem(wire.ProblemMediaType), exitInternal},
		{problem("urn:of:a-newer-daemon"), exitInternal},
		{fmt.Errorf("x: %w", context.Canceled), exitInternal},
		{&client.PendingError{Signature: pending.Signature, Err: context.Canceled}, exitInternal},

		{&usageError{err: errors.New("x")}, exitBadInput},
		{&inputError{err: errors.New("x")}, exitBadInput},
		{fs.ErrNotExist, exitBadInput},
		{fs.ErrPermission, exitBadInput},
		{outfile.ErrNotRegular, exitBadInput},
		{problem(wire.ProblemInvalidBody), exitBadInput},
		{problem(wire.ProblemInvalidField), exitBadInput},
		{problem(wire.ProblemBodyTooLarge), exitBadInput},
		{problem(wire.ProblemNotFound), exitBadInput},
		{problem(wire.ProblemNoKey), exitBadInput},
		{problem(wire.ProblemConflict), exitBadInput},
		{problem(wire.ProblemKeyReuse), exitBadInput},
		{&client.UnreachableError{Reason: client.PathTooLong}, exitBadInput},
		{&client.UnreachableError{Reason: client.BadAddress}, exitBadInput},

		{problem(wire.ProblemDenied), exitDenied},
		{problem(wire.ProblemForbidden), exitDenied},
		{problem(wire.ProblemApproval), exitDenied},
		{problem(wire.ProblemToken), exitDenied},
		{state(client.StateDenied), exitDenied},
		{state(client.StateRejected), exitDenied},
		{state(client.StateExpired), exitDenied},
		{state(client.StateCancelled), exitDenied},

		{pending, exitPending},
		{&client.PendingError{Signature: pending.Signature, Err: &client.UnreachableError{}}, exitPending},

		{&client.UnreachableError{Reason: client.NoSocket, Err: fs.ErrNotExist}, exitUnavailable},
		{&client.UnreachableError{Reason: client.NoPermission, Err: fs.ErrPermission}, exitUnavailable},
		{&degradedError{}, exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
		{problem(wire.ProblemTooMany), exitUnavailable},
		{problem(wire.ProblemBusy), exitUnavailable},
		{problem(wire.ProblemKeyUnavailable), exitUnavailable},
		{problem(wire.ProblemKeyUnusable), exitUnavailable},
		{problem(wire.ProblemStore), exitUnavailable},
		{problem(wire.ProblemClock), exitUnavailable},
		{problem(wire.ProblemStopping), exitUnavailable},
		{problem(wire.ProblemPeer), exitUnavailable},
		{problem(wire.ProblemTokenIssuer), exitUnavailable},

		{&verificationError{err: errors.New("x")}, exitUntrusted},
		{&client.UntrustedError{Err: errors.New("x")}, exitUntrusted},
		{&capgo.CheckError{Err: errors.New("x")}, exitUntrusted},
		{&logtree.BrokenError{Err: fs.ErrNotExist}, exitUntrusted},
		{&logtree.RewrittenError{Err: errors.New("x")}, exitUntrusted},
	} {
		err := tc.err
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		if found := exitCode(err); found != tc.want {
			t.Errorf("%T %v: found %d, want %d", tc.err, tc.err, found, tc.want)
		}
	}
}
