package pinrecord

import (
	"crypto/sha256"
	"encoding/base64"

	"golang.org/x/crypto/argon2"
)

const saltSize = 16

// The cost of a digest that goes to a disk: passes, KiB of memory and lanes of
// Argon2id. It took 60 ms where it was chosen. That is paid once for each PIN
// in the life of a process, and again for a record that an earlier one left.
const (
	argonPasses = 3
	argonMemory = 32 << 10
	argonLanes  = 1
)

// digest returns the form of a PIN that records hold.
func (s *Store) digest(salt, pin []byte) string {
	h := s.hash(salt, pin)
	if !s.medium.outlives() {
		return base64.RawStdEncoding.EncodeToString(h[:])
	}
	s.mu.Lock()
	d, ok := s.cache[h]
	s.mu.Unlock()
	if ok {
		return d
	}
	d = base64.RawStdEncoding.EncodeToString(argon2.IDKey(pin, salt, argonPasses, argonMemory, argonLanes, 32))
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cache) // the newest PIN is all that is asked for again
	s.cache[h] = d
	return d
}

// hash returns the form of a PIN that stays in memory.
func (s *Store) hash(salt, pin []byte) [32]byte {
	h := sha256.New()
	h.Write(s.key[:])
	h.Write([]byte{byte(len(salt))})
	h.Write(salt)
	h.Write(pin)
	return [32]byte(h.Sum(nil))
}
