// Package gate counts calls in flight so that something can be closed when the
// last one has ended and no new one begins.
package gate

import "sync"

// Gate is open when zero.
type Gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // made by the first Close; closed when inside is 0
}

// Enter reports whether the gate was open. If it was, the caller is inside until
// it calls [Gate.Leave].
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

// Leave undoes one Enter that returned true.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside < 0 {
		panic("gate: Leave without Enter")
	}
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// Close lets nobody in any more and returns when nobody is inside. It may be
// called any number of times.
func (g *Gate) Close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.empty = make(chan struct{})
		if g.inside == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	<-g.empty
}
