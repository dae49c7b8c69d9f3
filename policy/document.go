package policy

import "fmt"

// Document is everything that a policy says.
type Document struct {
	Rules []Rule
	// AllowedSigners is the content of an OpenSSH allowed_signers file; a
	// principal is the name of a person.
	AllowedSigners []byte
	// Groups are groups of people, by name.
	Groups map[string][]string
	// Accounts tie people, by name, to what they log in with: who is the
	// requester by one of these does not count as an approver.
	Accounts map[string]Accounts
	// Freezes says who may stop all signing, and who must agree to go on.
	Freezes Freezes
}

// Accounts are the logins of one person.
type Accounts struct {
	Users  []string       `json:"users,omitempty"` // names of Unix users
	Tokens []TokenAccount `json:"tokens,omitempty"`
}

// TokenAccount is whoever has a token of this issuer in which the claim has this
// value, such as the claim "actor" of GitHub.
type TokenAccount struct {
	Issuer string `json:"issuer"` // its configured name
	Claim  string `json:"claim"`
	Value  string `json:"value"`
}

// Freezes says who may freeze and who must agree to a thaw. Root and the daemon's
// own user may always freeze; if Lift is empty, they alone may lift.
type Freezes struct {
	Users  []Glob        `json:"users,omitempty"`
	Groups []Glob        `json:"groups,omitempty"`
	Lift   []Requirement `json:"lift,omitempty"`
}

// FieldError says which field of a [Document] is wrong, such as
// "rules[2].when" or "groups.security[0]". Line and Column, from 1, are the place
// within the field's text, if it is an expression or a file; else 0.
type FieldError struct {
	Field        string
	Line, Column int
	Err          error
}

func (e *FieldError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s, line %d, column %d: %v", e.Field, e.Line, e.Column, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Field, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }
