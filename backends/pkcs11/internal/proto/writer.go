package proto

import (
	"io"
	"sync"
)

// Writer writes frames from many goroutines. Frames that come while a write is
// under way go out together in the next one, written by the goroutine that is
// writing already: under load one system call carries many frames, and at rest
// a frame is written at once by its sender.
type Writer struct {
	w io.Writer

	mu      sync.Mutex
	writing bool
	queue   []byte
	spare   []byte
	err     error // of the first failed write; nothing is written after it
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends a frame, or leaves it to the goroutine that is writing. It returns an
// error if this or an earlier write failed; a nil error does not mean that the
// frame was received.
func (w *Writer) Write(f Frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	queue, err := f.Append(w.queue)
	if err != nil {
		return err
	}
	w.queue = queue
	if w.writing {
		return nil
	}
	w.writing = true
	for len(w.queue) > 0 && w.err == nil {
		out := w.queue
		w.queue = w.spare[:0]
		w.mu.Unlock()
		_, err := w.w.Write(out)
		// A PIN may have been in there.
		clear(out)
		w.mu.Lock()
		w.spare = out
		w.err = err
	}
	w.writing = false
	return w.err
}
