package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// batch is the payloads of one call of Sign, and how far they are.
type batch struct {
	key        proto.Selector
	timeout    time.Duration
	payloads   []capgo.Payload
	signatures []capgo.Signature
	todo       []span // without a signature and not under way
}

// span is some payloads, from one index up to another.
type span struct{ from, to int }

// order is a span that was sent.
type order struct {
	span
	call *call
}

func newBatch(key proto.Selector, payloads []capgo.Payload, timeout time.Duration) (*batch, error) {
	for i, p := range payloads {
		if _, err := p.MarshalBinary(); err != nil {
			return nil, fmt.Errorf("pkcs11: payload %d of %d: %w", i+1, len(payloads), err)
		}
	}
	return &batch{
		key:        key,
		timeout:    timeout,
		payloads:   payloads,
		signatures: make([]capgo.Signature, len(payloads)),
		todo:       []span{{0, len(payloads)}},
	}, nil
}

// run has the child sign what is left to do. On error it can be run again, with
// the same child or another: what was signed stays signed.
func (b *batch) run(ctx context.Context, p *process) error {
	var sent []order
	var failed error
	for len(b.todo) > 0 && failed == nil {
		if failed = p.takeSlot(ctx); failed != nil {
			break
		}
		// One slot is ours. As long as others are free too, each gets little:
		// they work side by side. Under load an order carries more, but never so
		// much that the others have nothing to do at the end.
		s := b.cut(p.idle()+1, p.pace.order(), p.sessions)
		o, err := b.send(p, s)
		if err != nil {
			return err
		}
		sent = append(sent, o)
		for len(sent) > 0 && len(sent[0].call.done) > 0 && failed == nil {
			failed = b.collect(ctx, p, sent[0])
			sent = sent[1:]
		}
	}
	for _, o := range sent {
		failed = graver(failed, b.collect(ctx, p, o))
	}
	return failed
}

// cut takes the next span off the list: so long that the first of the list would
// go round among the idle, and no longer than most or, beyond firstOrder, than its
// share among all sessions.
func (b *batch) cut(idle, most, sessions int) span {
	first := &b.todo[0]
	left := first.to - first.from
	size := min(share(left, idle), most, max(share(left, sessions), firstOrder))
	s := span{first.from, first.from + size}
	first.from = s.to
	if first.from == first.to {
		b.todo = b.todo[1:]
	}
	return s
}

// share is what each of so many gets of n, rounded up.
func share(n, among int) int { return (n + among - 1) / among }

// send sends the order to sign a span. The slot that it needs was taken.
func (b *batch) send(p *process, s span) (order, error) {
	body, err := proto.Sign{Key: b.key, Payloads: b.payloads[s.from:s.to]}.Encode()
	if err != nil {
		<-p.slots
		return order{}, fmt.Errorf("pkcs11: %w", err)
	}
	return order{s, p.send(proto.OpSign, body, b.timeout, true)}, nil
}

// collect waits for the signatures of an order. If there are none, its span is to
// be done again.
func (b *batch) collect(ctx context.Context, p *process, o order) error {
	body, err := o.call.wait(ctx)
	if err == nil {
		var signatures []capgo.Signature
		if signatures, err = proto.DecodeSigned(body, o.to-o.from); err == nil {
			copy(b.signatures[o.from:o.to], signatures)
			p.pace.took(o.to-o.from, o.call.took)
			return nil
		}
		err = p.broke(err)
	}
	b.todo = append(b.todo, o.span)
	return err
}

// broke ends a child that sent nonsense.
func (p *process) broke(err error) error {
	err = fmt.Errorf("the module's process broke the protocol: %w", err)
	p.end(err)
	return &goneError{err}
}

// graver returns the error that decides what becomes of a batch: one that calls
// for another attempt counts only if there is none that forbids it.
func graver(a, b error) error {
	var gone *goneError
	if a == nil || b != nil && errors.As(a, &gone) {
		return b
	}
	return a
}
