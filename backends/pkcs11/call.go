package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// goneError says that the child ended before it answered. The order may be given
// to the next child: what keys do here can be repeated.
type goneError struct{ cause error }

func (e *goneError) Error() string { return e.cause.Error() }
func (e *goneError) Unwrap() error { return e.cause }

// hungError says that this very order was not answered in time.
type hungError struct{ after time.Duration }

func (e *hungError) Error() string { return fmt.Sprintf("no answer within %s", e.after) }

// call is a question that was sent and not yet answered.
type call struct {
	done  chan answer // has room for the one answer, so that nobody need wait for it
	timer *time.Timer
	slot  bool // it holds one of the process's slots
	sent  time.Time
	took  time.Duration // until the answer; may be read once that is there
}

type answer struct {
	body []byte
	err  error
}

// send asks the child. The answer, or an error, comes to the call's done channel
// within the timeout, after which the child counts as hung and is killed. A caller
// may forget the call: it ends by itself.
func (p *process) send(op proto.Op, body []byte, timeout time.Duration, slot bool) *call {
	c := &call{done: make(chan answer, 1), slot: slot, sent: time.Now()}
	p.mu.Lock()
	if p.cause != nil {
		cause := p.cause
		p.mu.Unlock()
		c.done <- answer{err: &goneError{cause}}
		return c
	}
	p.lastID++
	id := p.lastID
	p.calls[id] = c
	c.timer = time.AfterFunc(timeout, func() { p.hang(id, &hungError{timeout}) })
	p.mu.Unlock()
	if err := p.out.Write(proto.Frame{ID: id, Op: op, Body: body}); err != nil {
		p.end(fmt.Errorf("writing to the module's process: %w", err))
	}
	return c
}

// finish gives a call its answer and reports whether there was such a call.
func (p *process) finish(id uint64, a answer) bool {
	p.mu.Lock()
	c, ok := p.calls[id]
	delete(p.calls, id)
	p.mu.Unlock()
	if !ok {
		return false
	}
	c.timer.Stop()
	if c.slot {
		<-p.slots
	}
	c.took = time.Since(c.sent)
	c.done <- a
	return true
}

// hang ends a process that did not answer a call in time. Only then does the caller
// hear of it: it will want another process.
func (p *process) hang(id uint64, hung *hungError) {
	p.mu.Lock()
	c, ok := p.calls[id]
	delete(p.calls, id)
	p.mu.Unlock()
	if !ok {
		return
	}
	p.end(hung)
	c.done <- answer{err: hung}
}

// wait returns the answer to a call, or ctx's error. The call goes on without its
// caller: the deadline that guards against a hung module stays.
func (c *call) wait(ctx context.Context) ([]byte, error) {
	select {
	case a := <-c.done:
		return a.body, a.err
	default:
	}
	select {
	case a := <-c.done:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask sends a question that needs no slot and waits for the answer.
func (p *process) ask(ctx context.Context, op proto.Op, body []byte, timeout time.Duration) ([]byte, error) {
	return p.send(op, body, timeout, false).wait(ctx)
}

// askFor asks a question whose answer is the JSON of a message.
func (p *process) askFor(ctx context.Context, op proto.Op, body []byte, answer any, timeout time.Duration) error {
	got, err := p.ask(ctx, op, body, timeout)
	if err != nil {
		return err
	}
	if err := proto.Decode(got, answer); err != nil {
		return fmt.Errorf("the module's process broke the protocol: %w", err)
	}
	return nil
}

// takeSlot waits until the child has room for one more order. What waits, waits
// here in the order that it came, where it can be cancelled, and not in the
// module.
func (p *process) takeSlot(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.dead:
		return &goneError{p.why()}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle is how many sessions have nothing to do, as far as is known.
func (p *process) idle() int { return max(0, p.sessions-len(p.slots)) }

// receive reads answers until the child breaks the rules or its end comes.
func (p *process) receive() {
	in := proto.NewReader(p.conn)
	for {
		f, err := in.Next()
		var broken *net.OpError
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) {
			p.lost(err)
			return
		}
		if err == nil {
			err = p.deliver(f)
		}
		if err != nil {
			p.end(fmt.Errorf("the module's process broke the protocol: %w", err))
			return
		}
	}
}

func (p *process) deliver(f proto.Frame) error {
	a := answer{body: f.Body}
	switch f.Op {
	case proto.OpResult:
	case proto.OpFault:
		var fault proto.Fault
		if err := proto.Decode(f.Body, &fault); err != nil {
			return fmt.Errorf("fault: %w", err)
		}
		a = answer{err: p.fit(&fault)}
	default:
		return fmt.Errorf("unknown operation %d", f.Op)
	}
	if !p.finish(f.ID, a) {
		return errors.New("an answer to no question")
	}
	return nil
}
