package wire

import "time"

// SSHSig is the body of POST /v1/signatures/{id}/approvals, .../rejections and
// /v1/freezes/{id}/lifts: a signature of ssh-keygen -Y sign over the statement.
type SSHSig struct {
	SSHSig string `json:"sshsig"` // armored: "-----BEGIN SSH SIGNATURE-----" and so on
	// Reason is why, of a rejection. It is not signed.
	Reason string `json:"reason,omitempty"`
}

// Approval is what a person signed.
type Approval struct {
	Person       string    `json:"person"`
	Key          string    `json:"key"` // "SHA256:" fingerprint of the SSH key
	Time         time.Time `json:"time"`
	UserVerified bool      `json:"user_verified,omitempty"` // a FIDO2 key that verified its user
	SSHSig       string    `json:"sshsig"`
}

// Missing is what still lacks.
type Missing struct {
	From             []string `json:"from"` // groups
	Count            int      `json:"count"`
	UserVerification bool     `json:"user_verification,omitempty"`
	Candidates       []string `json:"candidates"` // people
}

// NewFreeze is the body of POST /v1/freezes: exactly one of All, AppID and Key.
type NewFreeze struct {
	All    bool   `json:"all,omitempty"`
	AppID  string `json:"app_id,omitempty"`
	Key    string `json:"key,omitempty"` // name of a key
	Reason string `json:"reason"`
}

// Freeze stops signing until it is lifted.
type Freeze struct {
	ID     string    `json:"id"`
	All    bool      `json:"all,omitempty"`
	AppID  string    `json:"app_id,omitempty"`
	Key    string    `json:"key,omitempty"`
	Reason string    `json:"reason"`
	By     Requester `json:"by"`
	At     time.Time `json:"at"`
	// Statement is the text to sign, in namespace bundlesign-thaw@v1, to lift it.
	Statement string     `json:"statement"`
	Approvals []Approval `json:"approvals,omitempty"`
	Missing   []Missing  `json:"missing,omitempty"` // none: an operator lifts it
	Lifted    bool       `json:"lifted,omitempty"`
}

// FreezeList is the answer of GET /v1/freezes: those in force.
type FreezeList struct {
	Freezes []Freeze `json:"freezes"`
}
