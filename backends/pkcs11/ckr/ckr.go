// Package ckr says what to do about each return value of a PKCS#11 function
// (PKCS#11 v3.0, section 5.1), as data.
//
// Its invariant is that what is not in the table counts as a module in an unknown
// state, which only a restart can mend. The package needs no cgo: the
// daemon, which never loads a module, judges with it too.
package ckr

import "fmt"

// Code is a return value, CK_RV.
type Code uint64

// The codes that code outside the table speaks of.
const (
	OK                    Code = 0x000
	ArgumentsBad          Code = 0x007
	DataInvalid           Code = 0x020
	DataLenRange          Code = 0x021
	FunctionUnsupported   Code = 0x054
	MechanismInvalid      Code = 0x070
	MechanismParamInvalid Code = 0x071
	OperationActive       Code = 0x090
	PINIncorrect          Code = 0x0A0
	PINInvalid            Code = 0x0A1
	PINLenRange           Code = 0x0A2
	PINExpired            Code = 0x0A3
	PINLocked             Code = 0x0A4
	SessionClosed         Code = 0x0B0
	SessionCount          Code = 0x0B1
	SessionHandleInvalid  Code = 0x0B3
	SessionReadOnlyExists Code = 0x0B7
	TokenNotPresent       Code = 0x0E0
	UserAlreadyLoggedIn   Code = 0x100
	UserNotLoggedIn       Code = 0x101
	UserPINNotInitialized Code = 0x102
	UserTypeInvalid       Code = 0x103
	UserAnotherLoggedIn   Code = 0x104
	UserTooManyTypes      Code = 0x105
	RandomNoRNG           Code = 0x121
	NotInitialized        Code = 0x190
)

// Class is what to do about a failed call.
type Class int

// The classes, from the mildest.
const (
	// Retry: make the same call again, once.
	Retry Class = iota + 1
	// NewSession: the session, or the object handles found in it, are no good:
	// open another, find the key again, and make the call once more.
	NewSession
	// Relogin: log in again, with the PIN read anew, and make the call once more.
	Relogin
	// Reload: only a fresh process that loads the module anew can help.
	Reload
	// FatalKey: this key cannot do it until somebody changes the key.
	FatalKey
	// FatalToken: no key of this token can, until somebody changes the token or
	// the configuration.
	FatalToken
)

// String names the class for messages.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry"
	case NewSession:
		return "new session"
	case Relogin:
		return "relogin"
	case Reload:
		return "reload module"
	case FatalKey:
		return "fatal key"
	case FatalToken:
		return "fatal token"
	}
	return fmt.Sprintf("class %d", int(c))
}

// Class returns what to do about the code. It is Reload for one that is not in
// the table: vendors' own codes tell nothing to anybody else.
func (c Code) Class() Class {
	if e, ok := lookup(c); ok {
		return e.class
	}
	return Reload
}

// String returns the code's name in the standard, and its number.
func (c Code) String() string {
	if e, ok := lookup(c); ok {
		return fmt.Sprintf("%s (0x%X)", e.name, uint64(c))
	}
	return fmt.Sprintf("a code of the vendor's (0x%X)", uint64(c))
}

// Error makes a code an error.
func (c Code) Error() string { return c.String() }

// RefusesPIN reports whether the code, as the answer to a login, says that the token
// did not take the PIN: this PIN is not to be tried again.
func (c Code) RefusesPIN() bool { return PINIncorrect <= c && c <= PINLocked }
