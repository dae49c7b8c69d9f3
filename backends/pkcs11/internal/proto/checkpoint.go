package proto

import (
	"crypto/ed25519"
	"fmt"

	"github.com/bundlesign/bundlesign/audit"
)

// Checkpoint has the log's key sign the text of a checkpoint. Its binary form is:
// length of the label (1 byte), label, length of the id (1), id, and the text.
type Checkpoint struct {
	Key  Selector
	Text audit.CheckpointText
}

// Encode returns the binary form.
func (c Checkpoint) Encode() ([]byte, error) {
	if len(c.Key.Label) > MaxSelector || len(c.Key.ID) > MaxSelector {
		return nil, fmt.Errorf("label of %d and id of %d bytes, want at most %d", len(c.Key.Label), len(c.Key.ID), MaxSelector)
	}
	text := c.Text.Bytes()
	if len(text) == 0 {
		return nil, fmt.Errorf("the zero checkpoint text cannot be signed")
	}
	b := make([]byte, 0, 2+len(c.Key.Label)+len(c.Key.ID)+len(text))
	b = append(b, byte(len(c.Key.Label)))
	b = append(b, c.Key.Label...)
	b = append(b, byte(len(c.Key.ID)))
	b = append(b, c.Key.ID...)
	return append(b, text...), nil
}

// DecodeCheckpoint reads the binary form. What comes out is the text of a checkpoint
// that package audit would make itself, whatever the bytes.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	var c Checkpoint
	var ok bool
	if c.Key.Label, b, ok = cutString(b); !ok {
		return nil, fmt.Errorf("checkpoint: ends inside the label")
	}
	if c.Key.ID, b, ok = cutString(b); !ok {
		return nil, fmt.Errorf("checkpoint: ends inside the id")
	}
	var err error
	if c.Text, err = audit.ParseCheckpointText(b); err != nil {
		return nil, err
	}
	return &c, nil
}

// DecodeCheckpointSigned reads the answer: a signature of 64 bytes.
func DecodeCheckpointSigned(b []byte) ([]byte, error) {
	if len(b) != ed25519.SignatureSize {
		return nil, fmt.Errorf("found %d bytes of signature, want %d", len(b), ed25519.SignatureSize)
	}
	return b, nil
}

// LogKey asks for the public half of the log's key. Label and id are bytes, since an
// id is no text. It is answered with the 32 bytes of RFC 8032, section 5.1.2.
type LogKey struct {
	Label []byte `json:"label,omitempty"`
	ID    []byte `json:"id,omitempty"`
}

// The kinds of fault that only the log's key has.
const (
	KindNoEdDSA     Kind = "no-eddsa"      // the token has no CKM_EDDSA for signing
	KindLogKeyUnfit Kind = "log-key-unfit" // a key that is not Ed25519; see Detail
)
