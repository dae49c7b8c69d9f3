package pinrecord

import (
	"context"
	"strconv"
	"sync"
)

// medium is where records are kept. What save and remove did is durable when
// they return.
type medium interface {
	// lock makes the caller the only user of a record, or returns ctx's error.
	lock(ctx context.Context, id string) (unlock func(), err error)
	// load returns nil if there is no record.
	load(id string) ([]byte, error)
	save(id string, data []byte) error
	remove(id string) error
	// stamp changes whenever the record does.
	stamp(id string) string
	// outlives reports whether records outlive the process.
	outlives() bool
}

// memory keeps records as long as the process lives.
type memory struct {
	busy    chan struct{} // holds one element while a record is locked
	mu      sync.Mutex
	records map[string][]byte
	changes int
}

func newMemory() *memory {
	return &memory{busy: make(chan struct{}, 1), records: map[string][]byte{}}
}

func (m *memory) outlives() bool { return false }

func (m *memory) lock(ctx context.Context, _ string) (func(), error) {
	select {
	case m.busy <- struct{}{}:
		return func() { <-m.busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memory) load(id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[id], nil
}

func (m *memory) save(id string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[id] = data
	m.changes++
	return nil
}

func (m *memory) remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, id)
	m.changes++
	return nil
}

func (m *memory) stamp(string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strconv.Itoa(m.changes)
}
