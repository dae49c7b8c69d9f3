package pkcs11

import "time"

// Orders returns how many orders the child has.
func (m *Module) Orders() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return 0
	}
	return len(m.current.slots)
}

// SetOpenTimeout changes how long loading a module and logging in may take.
func (m *Module) SetOpenTimeout(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timeout = d
}
