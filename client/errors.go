package client

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
)

// A call fails with one of these in its chain, with a [*wire.Problem] when the
// daemon refused it, or with [*UnreachableError] or [*UntrustedError].

// StateError says that a request ended without a signature.
type StateError struct{ Signature *wire.Signature }

func (e *StateError) Error() string {
	if e.Signature.Reason == "" {
		return fmt.Sprintf("request %s was not signed: it is %s", e.Signature.ID, e.Signature.State)
	}
	return fmt.Sprintf("request %s was not signed: it is %s: %s", e.Signature.ID, e.Signature.State, e.Signature.Reason)
}

// PendingError says that the time to wait was over before the request was
// finished. The request lives on.
type PendingError struct {
	Signature *wire.Signature // as last seen
	Err       error           // why the waiting ended
}

func (e *PendingError) Error() string {
	text := fmt.Sprintf("request %s is still %s", e.Signature.ID, e.Signature.State)
	if waits := WaitsFor(e.Signature.Missing); waits != "" {
		text += ": it waits for " + waits
	}
	if e.Signature.Note != "" {
		text += "; " + e.Signature.Note
	}
	return text
}

func (e *PendingError) Unwrap() error { return e.Err }

// ProtocolError says that something answered that does not speak this API, or a
// version of it that this client does not know.
type ProtocolError struct {
	Status int // of HTTP, or 0
	Detail string
}

func (e *ProtocolError) Error() string {
	if e.Status == 0 {
		return "answer of bundlesignd: " + e.Detail
	}
	return fmt.Sprintf("answer of bundlesignd: HTTP status %d: %s", e.Status, e.Detail)
}

// Notice tells an observer why a call takes long.
type Notice struct {
	// Pending is the request that is being waited for, or nil.
	Pending *wire.Signature
	// Err is why the call is made again after Delay, or nil.
	Err   error
	Delay time.Duration
}

// quote shows text of the daemon's without letting it play with a terminal.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToASCII(s)
}
