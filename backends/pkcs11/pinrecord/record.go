package pinrecord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	version   = 1
	maxRecord = 16 << 10
)

// record is what is known of one token.
type record struct {
	Version int    `json:"version"`
	Token   Token  `json:"token"`
	Module  string `json:"module"` // that led to it, for people
	// Time is that of the newest attempt.
	Time time.Time `json:"time"`
	Salt []byte    `json:"salt,omitempty"`
	// Refused are digests of PINs that the token did not take.
	Refused []string `json:"refused,omitempty"`
	// Pending is the digest of a PIN that was given to the token and not
	// answered.
	Pending string `json:"pending,omitempty"`
	// Unknown is how many attempts with it ended so, in a row.
	Unknown int `json:"unknown,omitempty"`
	// Answered: the token did answer, with something that did not say whether it
	// had looked at the PIN.
	Answered bool `json:"answered,omitempty"`
	// Accepted is the state of the file whose PIN the token took last.
	Accepted string `json:"accepted,omitempty"`
}

func (r *record) encode() ([]byte, error) {
	r.Version = version
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

func decode(b []byte) (*record, error) {
	r := new(record)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("not the JSON of a record: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("goes on after the JSON of a record")
	}
	if r.Version != version {
		return nil, fmt.Errorf("found version %d, want %d", r.Version, version)
	}
	return r, nil
}
