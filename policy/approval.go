package policy

import "time"

// Namespaces of the SSH signatures (PROTOCOL.sshsig of OpenSSH) with which people
// speak. A signature for one purpose is of no use for another.
const (
	ApprovalNamespace  = "bundlesign-approval@v1"
	RejectionNamespace = "bundlesign-rejection@v1"
	ThawNamespace      = "bundlesign-thaw@v1"
)

// Approval is a person's signature over a statement.
type Approval struct {
	Person string    `json:"person"`
	Key    string    `json:"key"` // fingerprint of the SSH key, "SHA256:" and base64
	Time   time.Time `json:"time"`
	// UserVerified: a FIDO2 key that has verified its user.
	UserVerified bool `json:"user_verified,omitempty"`
	// SSHSIG is the signature itself, in its armored form.
	SSHSIG string `json:"sshsig,omitempty"`
}

// Missing is what a requirement still lacks.
type Missing struct {
	From  []string `json:"from"`  // groups
	Count int      `json:"count"` // how many more of them must agree
	// UserVerification: with a FIDO2 key that verifies its user.
	UserVerification bool `json:"user_verification,omitempty"`
	// Candidates are the people who could, by name.
	Candidates []string `json:"candidates"`
}
