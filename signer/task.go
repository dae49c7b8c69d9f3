package signer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bundlesign/bundlesign/capgo"
)

// task is the part of one key in a request.
type task struct {
	key   *managedKey
	place *place // in the key's queue
	work  *work
	err   error // of the newest attempt, if it came to nothing
}

// tasks are the parts of all keys of a request, in its order.
type tasks []*task

// failure is why the work on a request ended with one of its keys.
type failure struct {
	task *task
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// newTasks lists what each key is to sign: a session key of its own, and all digests
// in its form.
func newTasks(sub *Submission, places places) (tasks, error) {
	if len(places) != 1+len(sub.Also) {
		return nil, fmt.Errorf("it has %d keys, and was submitted for %d", len(places), 1+len(sub.Also))
	}
	var out tasks
	for i, p := range places {
		format := sub.Format
		if i > 0 {
			format = sub.Also[i-1].Format
		}
		payloads, err := payloadsOf(sub, format)
		if err != nil {
			return nil, err
		}
		out = append(out, &task{key: p.key, place: p, work: newWork(payloads)})
	}
	return out, nil
}

// payloadsOf lists what a key signs for a submission: the checksum, a session key,
// and each file.
func payloadsOf(sub *Submission, format capgo.ChecksumFormat) ([]capgo.Payload, error) {
	checksum, err := capgo.ChecksumPayload(sub.Digest, format)
	if err != nil {
		return nil, err
	}
	out := make([]capgo.Payload, 0, 2+len(sub.Files))
	out = append(out, checksum, capgo.SessionKeyPayload())
	for _, f := range sub.Files {
		p, err := capgo.ChecksumPayload(f.Digest, format)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// do has the keys do their parts side by side, and reports whether all have. The
// first that cannot ends the work of the others too; the cause of the context's end
// is a [*failure] then.
func (s *Signer) do(ctx context.Context, end context.CancelCauseFunc, id string, ts tasks) bool {
	all := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(ts)))
	var working sync.WaitGroup
	for _, t := range ts {
		working.Go(func() {
			stop := t.work.watch(s.config.SigningTimeout, func() { end(&failure{t, errStalled}) })
			t.err = s.sign(ctx, id, t.key, t.work)
			stop()
			if t.err != nil {
				end(&failure{t, t.err})
				if errors.Is(t.err, errWrongSignature) {
					t.key.condemn(t.wrongFor(id)) // at once: another key may be long in ending
				}
				return
			}
			t.place.leave() // its key is free for others, however long the rest takes
			if left.Add(-1) == 0 {
				close(all)
				return
			}
			// Until the others have done theirs, its own is worth nothing, and it can be
			// taken out of use.
			select {
			case <-t.key.stopped():
				end(&failure{t, t.key.outOfUse()})
			case <-all:
			case <-ctx.Done():
			}
		})
	}
	working.Wait()
	return left.Load() == 0
}

// outOfUse is why a key that was stopped must not be used.
func (k *managedKey) outOfUse() error {
	if err := k.blocked(); err != nil {
		return err
	}
	return fmt.Errorf("key %q was taken out of use meanwhile", k.Name)
}

// wrongFor says what the key did wrong.
func (t *task) wrongFor(id string) string {
	return fmt.Sprintf("it made a wrong signature for request %s: %v", id, t.err)
}

// wrong returns the tasks whose key made a wrong signature.
func (ts tasks) wrong() (out tasks) {
	for _, t := range ts {
		if errors.Is(t.err, errWrongSignature) {
			out = append(out, t)
		}
	}
	return out
}

// progress returns how many payloads are signed, of how many, by all keys.
func (ts tasks) progress() (done, of int) {
	for _, t := range ts {
		d, n := t.work.progress()
		done, of = done+d, of+n
	}
	return done, of
}

// result is what the keys made, when all is signed.
func (ts tasks) result() *Result {
	out := &Result{KeyResult: ts[0].work.result()}
	for _, t := range ts[1:] {
		out.Also = append(out.Also, t.work.result())
	}
	return out
}
