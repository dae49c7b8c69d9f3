package proto

import (
	"fmt"

	"github.com/bundlesign/bundlesign/capgo"
)

const (
	// MaxBatch is how many payloads one question may hold. The deadline of a
	// question covers all of it.
	MaxBatch = 64
	// MaxSelector is the longest label or id in bytes.
	MaxSelector = 255

	payloadSize = 33
)

// Sign has a key sign payloads, in order, all or none. Its binary form is: length
// of the label (1 byte), label, length of the id (1), id, and the payloads'
// own binary forms end to end.
type Sign struct {
	Key      Selector
	Payloads []capgo.Payload
}

// Encode returns the binary form.
func (s Sign) Encode() ([]byte, error) {
	if len(s.Key.Label) > MaxSelector || len(s.Key.ID) > MaxSelector {
		return nil, fmt.Errorf("label of %d and id of %d bytes, want at most %d", len(s.Key.Label), len(s.Key.ID), MaxSelector)
	}
	if n := len(s.Payloads); n < 1 || n > MaxBatch {
		return nil, fmt.Errorf("%d payloads, want 1 to %d", n, MaxBatch)
	}
	b := make([]byte, 0, 2+len(s.Key.Label)+len(s.Key.ID)+len(s.Payloads)*payloadSize)
	b = append(b, byte(len(s.Key.Label)))
	b = append(b, s.Key.Label...)
	b = append(b, byte(len(s.Key.ID)))
	b = append(b, s.Key.ID...)
	for _, p := range s.Payloads {
		raw, err := p.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = append(b, raw...)
	}
	return b, nil
}

// DecodeSign reads the binary form. What comes out is an order that package capgo
// would make itself, whatever the bytes.
func DecodeSign(b []byte) (*Sign, error) {
	var s Sign
	var ok bool
	if s.Key.Label, b, ok = cutString(b); !ok {
		return nil, fmt.Errorf("sign: ends inside the label")
	}
	if s.Key.ID, b, ok = cutString(b); !ok {
		return nil, fmt.Errorf("sign: ends inside the id")
	}
	n := len(b) / payloadSize
	if len(b)%payloadSize != 0 || n < 1 || n > MaxBatch {
		return nil, fmt.Errorf("sign: found %d bytes of payloads, want 1 to %d times %d", len(b), MaxBatch, payloadSize)
	}
	s.Payloads = make([]capgo.Payload, n)
	for i := range s.Payloads {
		if err := s.Payloads[i].UnmarshalBinary(b[i*payloadSize : (i+1)*payloadSize]); err != nil {
			return nil, fmt.Errorf("sign: payload %d: %w", i, err)
		}
	}
	return &s, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}

// DecodeSigned reads the answer to an order of n payloads.
func DecodeSigned(b []byte, n int) ([]capgo.Signature, error) {
	if len(b) != n*capgo.SignatureSize {
		return nil, fmt.Errorf("found %d bytes of signatures, want %d times %d", len(b), n, capgo.SignatureSize)
	}
	signatures := make([]capgo.Signature, n)
	for i := range signatures {
		copy(signatures[i][:], b[i*capgo.SignatureSize:])
	}
	return signatures, nil
}
