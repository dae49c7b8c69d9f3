package audit

// KeyAction is what an operator does to a key.
type KeyAction string

// The actions of a [LeafKey].
const (
	KeyCreate  KeyAction = "create"  // a new private key in a backend
	KeyImport  KeyAction = "import"  // a private key from a file, into a backend
	KeyCheck   KeyAction = "check"   // a test signature, on demand
	KeyAttest  KeyAction = "attest"  // evidence of where the key lives, written to files
	KeyDisable KeyAction = "disable" // the daemon does not use it any more
	KeyEnable  KeyAction = "enable"  // the daemon may use it again
)

// Known reports whether a is one of the actions.
func (a KeyAction) Known() bool {
	switch a {
	case KeyCreate, KeyImport, KeyCheck, KeyAttest, KeyDisable, KeyEnable:
		return true
	}
	return false
}

// KeyPhase is how far an action on a key has come.
type KeyPhase string

// The phases of a [KeyOperation]. What touches a backend has an entry before it
// does, and another when the outcome is known; one that is begun and neither done
// nor failed was interrupted, and only the backend can tell how far it came.
const (
	OperationBegun  KeyPhase = "begun"
	OperationDone   KeyPhase = "done"
	OperationFailed KeyPhase = "failed" // why stands in the entry's reason
)

// Known reports whether p is one of the phases.
func (p KeyPhase) Known() bool {
	switch p {
	case OperationBegun, OperationDone, OperationFailed:
		return true
	}
	return false
}

// KeyOperation is what an operator did to a key: the substance of a [LeafKey].
// Who it was stands in the entry's requester, which key in its key and
// key_fingerprint, why in its reason, and what the key proved in its custody.
type KeyOperation struct {
	Action KeyAction `json:"action"`
	Phase  KeyPhase  `json:"phase"`
	URI    string    `json:"uri,omitempty"` // where the key is; never with a secret
	// Begun is the index of the entry with which an operation began that is done
	// or failed by this one. One that is done at once has none.
	Begun *int64 `json:"begun,omitempty"`
	// LogKey says that it is an Ed25519 key, for the log, and not one for apps.
	LogKey bool `json:"log_key,omitempty"`
}
