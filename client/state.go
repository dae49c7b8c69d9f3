package client

import "github.com/bundlesign/bundlesign/api/wire"

// The states of a request, as [wire.Signature.State] has them.
const (
	StatePending    = "pending"    // waits for approvals
	StateAuthorized = "authorized" // allowed; the key is being used
	StateSigned     = "signed"
	StateDenied     = "denied"    // the policy said no
	StateRejected   = "rejected"  // an approver said no
	StateExpired    = "expired"   // the approvals did not come in time
	StateCancelled  = "cancelled" // the requester took it back
	StateFailed     = "failed"    // the key could not be used
)

// outcome says whether s has come to its end, and fails if that end is not a
// signature. A state that this client does not know is an error: to wait for it
// to change would be to wait for ever.
func outcome(s *wire.Signature) (done bool, err error) {
	switch s.State {
	case StateSigned:
		return true, nil
	case StatePending, StateAuthorized:
		return false, nil
	case StateDenied, StateRejected, StateExpired, StateCancelled, StateFailed:
		return true, &StateError{Signature: s}
	}
	return true, &ProtocolError{Detail: "request " + s.ID + " is in state " + quote(s.State) + ", which this version of the client does not know"}
}
