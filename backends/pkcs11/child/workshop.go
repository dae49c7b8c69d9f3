package child

import (
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// workshop is where one key is made: a session of its own that may write, beside
// those of the pool. What is only needed for the making lives as long as the
// session; what is durable is remembered, so that it can be taken back. Nothing
// else can: no object is destroyed that was not made here.
type workshop struct {
	mu         sync.Mutex
	session    *session            // nil while nothing is made
	unwrapping pkcs11.ObjectHandle // the private half of [proto.Wrapping], or 0
	kek        pkcs11.ObjectHandle // the AES key, or 0
	refused    []string            // attributes that the token did not take when it was tried
	loose      []wanted            // attributes of which it makes something else when it unwraps
	made       []pkcs11.ObjectHandle
}

// handle answers the questions about new keys.
func (w *workshop) handle(t *token, f proto.Frame) ([]byte, error) {
	switch f.Op {
	case proto.OpSurvey:
		return reply(f, t.survey)
	case proto.OpGenerate, proto.OpWrapping:
		return w.begin(t, f)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil {
		return nil, &proto.Fault{Kind: proto.KindNotMaking}
	}
	switch f.Op {
	case proto.OpUnwrapKEK:
		return reply(f, func(q *proto.UnwrapKEK) (any, error) { return nil, w.unwrapKEK(t, q) })
	case proto.OpUnwrapKey:
		return reply(f, func(q *proto.UnwrapKey) (*proto.Made, error) { return w.unwrapKey(t, q) })
	case proto.OpSettle:
		return reply(f, func(q *proto.Settle) (any, error) { return nil, w.settle(t, q.Keep) })
	}
	return nil, fmt.Errorf("unknown operation %d", f.Op)
}

// begin answers the first question about a new key. Nobody waits for another's key,
// which can take a slow token minutes.
func (w *workshop) begin(t *token, f proto.Frame) ([]byte, error) {
	if !w.mu.TryLock() {
		return nil, &proto.Fault{Kind: proto.KindBusy}
	}
	defer w.mu.Unlock()
	if w.session != nil {
		return nil, &proto.Fault{Kind: proto.KindBusy}
	}
	if err := w.open(t); err != nil {
		return nil, err
	}
	if f.Op == proto.OpGenerate {
		return reply(f, func(q *proto.NewKey) (*proto.Made, error) { return w.generate(t, q) })
	}
	return reply(f, func(*proto.BeginImport) (*proto.Wrapping, error) { return w.wrapping(t) })
}

// reply decodes a question, answers it and encodes the answer.
func reply[Q, A any](f proto.Frame, answer func(*Q) (A, error)) ([]byte, error) {
	var q Q
	if err := proto.Decode(f.Body, &q); err != nil {
		return nil, err
	}
	a, err := answer(&q)
	if err != nil {
		return nil, err
	}
	return proto.Encode(a)
}

// open opens the session in which a key is made.
func (w *workshop) open(t *token) error {
	handle, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return try("C_OpenSession", err)
	}
	w.session = &session{handle: handle, open: true}
	return nil
}

// settle closes the session, and with it goes what was made for the making only. If
// what is durable is not to be kept, it is destroyed, the newest first: a public
// key without its private key is harmless, the other way round is not.
func (w *workshop) settle(t *token, keep bool) error {
	const objectHandleInvalid ckr.Code = 0x82
	left := 0
	var why error
	if !keep {
		for i := len(w.made) - 1; i >= 0; i-- {
			err := try("C_DestroyObject", t.ctx.DestroyObject(w.session.handle, w.made[i]))
			if err != nil && !isCode(err, objectHandleInvalid) {
				left++
				why = err
			}
		}
	}
	err := try("C_CloseSession", t.ctx.CloseSession(w.session.handle))
	w.session, w.unwrapping, w.kek, w.refused, w.loose, w.made = nil, 0, 0, nil, nil, nil
	if left > 0 {
		return &proto.Fault{Kind: proto.KindLeft, Count: left, Detail: why.Error()}
	}
	return err
}
