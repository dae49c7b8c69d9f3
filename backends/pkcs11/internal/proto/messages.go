package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
)

// Token selects a token by what it says of itself. Empty fields match
// everything; SlotID counts only if HasSlotID.
type Token struct {
	Label        string `json:"label,omitempty"`
	Serial       string `json:"serial,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	SlotID       uint64 `json:"slot_id,omitempty"`
	HasSlotID    bool   `json:"has_slot_id,omitempty"`
}

// Open has the child load the module and find the one token. It must be the first
// question and cannot be asked twice. Nobody is logged in by it.
type Open struct {
	Module   string `json:"module"`
	InitArgs string `json:"init_args,omitempty"` // for C_Initialize; none: a null pointer
	Token    Token  `json:"token"`
	Sessions int    `json:"sessions"` // at most so many at once, from 1
}

// LoginState is what the token's flags say about logging in (PKCS#11 v3.0, section
// 3.2, CK_TOKEN_INFO), asked anew each time. The token was reached a moment before:
// whether it can be is not found out with a PIN.
type LoginState struct {
	Required bool `json:"required"`
	Pad      bool `json:"pad"`   // the token has a keypad of its own
	Unset    bool `json:"unset"` // the user's PIN was never set
	CountLow bool `json:"count_low"`
	FinalTry bool `json:"final_try"`
	Locked   bool `json:"locked"`
}

// Login has the child log in (again), with at most one attempt.
type Login struct {
	// PIN is empty if the token needs none, or if it is typed on the Pad.
	PIN []byte `json:"pin,omitempty"`
	Pad bool   `json:"pad,omitempty"`
}

// LoggedIn is the answer to a Login.
type LoggedIn struct {
	// Already: the token was logged in, and whether the PIN is right is not known.
	Already bool `json:"already"`
}

// Confirm gives the child the PIN for keys that want it for each use. The child
// keeps it until the token refuses it.
type Confirm struct {
	PIN []byte `json:"pin"`
}

// Opened is what the child found.
type Opened struct {
	Token    Token  `json:"token"` // what the token says, every field filled
	Library  string `json:"library"`
	Sessions int    `json:"sessions"` // so many signatures can be made at once
}

// Selector names a private key in the token: by label, id or both.
type Selector struct {
	Label string // CKA_LABEL
	ID    string // CKA_ID, raw bytes
}

// Inspect asks what a key is. Label and id are bytes, since an id is no text.
type Inspect struct {
	Label []byte `json:"label,omitempty"`
	ID    []byte `json:"id,omitempty"`
}

// Inspected is what the token says of a key.
type Inspected struct {
	Modulus  []byte `json:"modulus"`  // big-endian
	Exponent []byte `json:"exponent"` // big-endian
	// Attributes are the CK_BBOOL attributes that the token answers for, by
	// name.
	Attributes map[string]bool `json:"attributes"`
}

// Kind is what went wrong in the child.
type Kind string

// The kinds of fault. What each means to an operator is said by the daemon.
const (
	KindCall           Kind = "call"            // a function of the module returned Code
	KindModuleMissing  Kind = "module-missing"  // there is no file
	KindModuleBad      Kind = "module-bad"      // it is no PKCS#11 module; see Detail
	KindTokenMissing   Kind = "token-missing"   // no token matches; Found has the labels of those there
	KindTokenAmbiguous Kind = "token-ambiguous" // Count tokens match; Found has their labels
	KindMechanism      Kind = "mechanism"       // neither of the two mechanisms works; see Detail
	KindPINNeeded      Kind = "pin-needed"      // the token wants a login and no PIN was given
	KindPINUnset       Kind = "pin-unset"       // the token's user PIN was never set
	KindPINFinalTry    Kind = "pin-final-try"   // one more wrong PIN would lock the token
	KindPINLocked      Kind = "pin-locked"      // the token has locked the PIN
	KindKeyMissing     Kind = "key-missing"     // no private key matches
	KindKeyAmbiguous   Kind = "key-ambiguous"   // at least Count private keys match
	KindKeyUnfit       Kind = "key-unfit"       // a key that devices do not accept; see Detail
	KindKeyConfirm     Kind = "key-confirm"     // the key wants the PIN for each use: ask with [Confirm]
	KindProtocol       Kind = "protocol"        // the question makes no sense; see Detail
)

// Fault is the answer when something went wrong.
type Fault struct {
	Kind   Kind     `json:"kind"`
	Call   string   `json:"call,omitempty"` // "C_Sign"
	Code   ckr.Code `json:"code,omitempty"`
	Count  int      `json:"count,omitempty"`
	Found  []string `json:"found,omitempty"`
	Detail string   `json:"detail,omitempty"`
}

// Error shows the fault as it is in the child; the daemon says it better.
func (f *Fault) Error() string {
	if f.Kind == KindCall {
		return fmt.Sprintf("%s: %s", f.Call, f.Code)
	}
	return fmt.Sprintf("%s %s", f.Kind, f.Detail)
}

// Encode returns the JSON of a message.
func Encode(v any) ([]byte, error) { return json.Marshal(v) }

// Decode reads the JSON of a message strictly.
func Decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		// The library's message may quote the body, and a PIN be in it.
		return errors.New("body is not the JSON that was expected")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("body goes on after the JSON")
	}
	return nil
}
