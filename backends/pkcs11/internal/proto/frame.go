// Package proto is what the daemon and the child process that holds a vendor's
// PKCS#11 module say to each other over a socket pair.
//
// A frame is a length, a number that ties an answer to its question, an
// operation and a body. The daemon asks and the child answers, in any order.
// Bodies are JSON, but for those of signing, which are binary because they are
// many.
//
// Two invariants. Nothing that is to be signed crosses here but the binary form of
// a [capgo.Payload] and, to the log's key, an [audit.CheckpointText]: there is no
// message that carries other bytes to a key. And neither side believes the other:
// every length is checked before it is used, and what is not understood ends the
// conversation. The daemon counts on that: a vendor's code runs in the child and
// may do anything.
package proto

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the largest body in bytes. The largest honest one, an answer with
// [MaxBatch] signatures, is far below it.
const MaxFrame = 64 << 10

// headerSize is a length (of the body, 4 bytes), an id (8) and an operation (1),
// big-endian.
const headerSize = 4 + 8 + 1

// Op is what a frame asks or answers.
type Op byte

// The operations.
const (
	OpPing    Op = 1 // empty body; answered with an empty result
	OpOpen    Op = 2 // [Open]; answered with [Opened]
	OpLogin   Op = 3 // [Login]; answered with [LoggedIn]
	OpInspect Op = 4 // [Inspect]; answered with [Inspected]
	OpSign    Op = 5 // [Sign]; answered with the signatures, end to end

	OpLoginState Op = 6 // empty body; answered with [LoginState]
	OpConfirm    Op = 7 // [Confirm]; answered with an empty result

	OpSurvey    Op = 16 // [Survey]; answered with [Surveyed]
	OpGenerate  Op = 17 // [NewKey]; answered with [Made]
	OpWrapping  Op = 18 // [BeginImport]; answered with [Wrapping]
	OpUnwrapKEK Op = 19 // [UnwrapKEK]; answered with null
	OpUnwrapKey Op = 20 // [UnwrapKey]; answered with [Made]
	OpSettle    Op = 21 // [Settle]; answered with null

	OpCheckpoint Op = 24 // [Checkpoint]; answered with the 64 bytes of the signature
	OpLogKey     Op = 25 // [LogKey]; answered with the 32 bytes of the public key

	OpResult Op = 0x80
	OpFault  Op = 0x81 // [Fault]
)

// Frame is one message.
type Frame struct {
	ID   uint64 // of the question
	Op   Op
	Body []byte
}

// Append appends the encoded frame to dst.
func (f Frame) Append(dst []byte) ([]byte, error) {
	if len(f.Body) > MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes, want at most %d", len(f.Body), MaxFrame)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Body)))
	dst = binary.BigEndian.AppendUint64(dst, f.ID)
	dst = append(dst, byte(f.Op))
	return append(dst, f.Body...), nil
}

// Reader reads frames.
type Reader struct{ r *bufio.Reader }

// NewReader returns a Reader that reads from r in large pieces.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 16<<10)} }

// Next returns the next frame, which the caller owns. It returns [io.EOF] at the
// end of the stream if that is between two frames.
func (r *Reader) Next() (Frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return Frame{}, cut(err)
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > MaxFrame {
		return Frame{}, fmt.Errorf("frame of %d bytes, want at most %d", size, MaxFrame)
	}
	f := Frame{ID: binary.BigEndian.Uint64(header[4:]), Op: Op(header[12])}
	if size > 0 {
		f.Body = make([]byte, size)
		if _, err := io.ReadFull(r.r, f.Body); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, cut(err)
		}
	}
	return f, nil
}

func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the stream ended inside a frame: %w", err)
	}
	return err
}
