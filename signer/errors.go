package signer

import (
	"errors"
	"fmt"
	"time"
)

// Kind sorts the errors that a caller of [Signer] sees. Package api maps each
// to one problem type.
type Kind int

// The kinds of error.
const (
	KindInternal       Kind = iota
	KindInvalid             // a field of the submission is wrong
	KindDenied              // by policy
	KindForbidden           // not the caller's to do
	KindNotFound            // no such request or key
	KindNoKey               // no key signs for this app
	KindConflict            // the request is in a state that does not allow it
	KindKeyReuse            // an idempotency key was used for something else
	KindBusy                // the key's queue is full
	KindTooMany             // the requester was denied too often lately
	KindKeyUnavailable      // the key's backend cannot be reached
	KindKeyUnusable         // the key cannot be used until an operator acts
	KindStore               // the state cannot be written
	KindClock               // the clock is behind the log
	KindStopping            // the daemon is going down
	KindApproval            // an approval, rejection or thaw does not count
)

// Error is an error of [Signer] with all that its reader needs to act.
type Error struct {
	Kind    Kind
	Detail  string        // for people: what is wrong, and what would be right
	Field   string        // of KindInvalid: the member at fault, a JSON Pointer (RFC 6901)
	Request *Request      // the record that was made, if one was
	Retry   time.Duration // after which trying again makes sense; 0: it does not
	Err     error         // the cause, if it came from elsewhere
}

func (e *Error) Error() string { return e.Detail }

func (e *Error) Unwrap() error { return e.Err }

func invalid(field, format string, args ...any) *Error {
	return &Error{Kind: KindInvalid, Field: field, Detail: field[1:] + ": " + fmt.Sprintf(format, args...)}
}

// storeError says what a failure of the store means to the caller.
func storeError(err error) error {
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return err
	case errors.Is(err, ErrClockBack):
		return &Error{Kind: KindClock, Detail: "nothing is signed while the clock is wrong: " + err.Error(), Retry: 30 * time.Second, Err: err}
	case errors.Is(err, ErrLogKey):
		return &Error{Kind: KindStore, Detail: "nothing is signed that cannot be recorded: " + err.Error(), Retry: 2 * time.Second, Err: err}
	case errors.Is(err, ErrStoreFull), errors.Is(err, ErrStoreBroken):
		return &Error{Kind: KindStore, Detail: "nothing is signed that cannot be recorded: " + err.Error(), Retry: 30 * time.Second, Err: err}
	case errors.Is(err, ErrNotFound):
		return &Error{Kind: KindNotFound, Detail: err.Error(), Err: err}
	}
	return &Error{Kind: KindInternal, Detail: "the state could not be read or written: " + err.Error(), Err: err}
}
