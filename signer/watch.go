package signer

import "sync"

// watchers let callers wait for a request to reach a final state. A flight is
// there from the moment that a request is accepted until it is final.
type watchers struct {
	mu      sync.Mutex
	flights map[string]*flight
}

type flight struct {
	done   chan struct{} // closed when final
	final  *Request      // valid after done
	tasks  tasks         // once it is signed
	waits  bool          // for approvals: nothing is owed yet
	cancel func()        // breaks the work off
}

func newWatchers() *watchers { return &watchers{flights: make(map[string]*flight)} }

// open returns the flight of a request that is not final.
func (w *watchers) open(id string) *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.flights[id]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		w.flights[id] = f
	}
	return f
}

// openPending returns the flight of a request that waits for approvals.
func (w *watchers) openPending(id string) {
	f := w.open(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	f.waits = true
}

// authorized notes that a request that waited for approvals is to be signed.
func (w *watchers) authorized(id string) {
	f := w.open(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	f.waits = false
}

// take notes who works on a request, and what breaks that off. It fails if the
// request is final already.
func (w *watchers) take(id string, tasks tasks, cancel func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.flights[id]
	if f == nil {
		return false
	}
	f.tasks, f.cancel = tasks, cancel
	return true
}

// progress returns how many of a request's payloads are signed, of how many; both
// are 0 if nobody works on it.
func (w *watchers) progress(id string) (done, of int) {
	w.mu.Lock()
	var tasks tasks
	if f := w.flights[id]; f != nil {
		tasks = f.tasks
	}
	w.mu.Unlock()
	return tasks.progress()
}

// drop forgets the flight of a request that was not accepted after all. Nobody
// can know its id, and so nobody waits for it.
func (w *watchers) drop(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flights, id)
}

// find returns the flight of id, or nil if it has none.
func (w *watchers) find(id string) *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flights[id]
}

// land tells everybody who waits that r is final.
func (w *watchers) land(r *Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.flights[r.ID]; f != nil {
		f.final = r
		close(f.done)
		if f.cancel != nil {
			f.cancel()
		}
		delete(w.flights, r.ID)
	}
}

// unfinished counts the requests that are to be signed.
func (w *watchers) unfinished() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.flights {
		if !f.waits {
			n++
		}
	}
	return n
}
