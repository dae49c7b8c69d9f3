package wire

// Of what follows, everything is for operators only: root, and the user as whom
// the daemon runs.

// KeyReason is the body of POST /v1/keys/{name}/disable and .../enable.
type KeyReason struct {
	Reason string `json:"reason"` // why; it goes into the log
}

// KeyCheck is the answer of POST /v1/keys/{name}/check, whose body is {}.
type KeyCheck struct {
	OK          bool    `json:"ok"` // it is the pinned key, proved its custody and signed
	Key         Key     `json:"key"`
	TookSeconds float64 `json:"took_seconds"`
}

// KeyOperation is the body of POST /v1/log/operations: what an operator is about
// to do to a key, or has done, outside the daemon.
type KeyOperation struct {
	Action string `json:"action"` // "create", "import" or "attest"
	Phase  string `json:"phase"`  // "begun", "done" or "failed"
	// Begun is the index of the entry with which it began, if it is done or failed.
	Begun  *int64 `json:"begun,omitempty"`
	Key    string `json:"key"` // name of the key, as it is or will be in the configuration
	URI    string `json:"uri"` // without anything secret
	LogKey bool   `json:"log_key,omitempty"`
	// Fingerprint and Custody are of the key that there is now.
	Fingerprint string   `json:"fingerprint,omitempty"`
	Custody     *Custody `json:"custody,omitempty"`
	Reason      string   `json:"reason,omitempty"` // why; of one that failed, what went wrong
}

// Recorded is the answer of POST /v1/log/operations.
type Recorded struct {
	Index int64 `json:"index"` // of the entry in the log
}
