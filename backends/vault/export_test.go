package vault

// Logins returns how many tokens the key has had.
func (k *Key) Logins() int {
	k.sessions.mu.Lock()
	defer k.sessions.mu.Unlock()
	return k.sessions.logins
}

// MaxBatch is how many payloads go into one request.
const MaxBatch = maxBatch
