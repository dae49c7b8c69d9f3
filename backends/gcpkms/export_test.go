package gcpkms

import "time"

// Hasten has a key try again at once after a failure, so that tests of what fails
// for good take no time.
func (k *Key) Hasten() { k.delay = time.Millisecond }

// SetTimeout changes how long one operation may take, between two calls.
func (k *Key) SetTimeout(d time.Duration) { k.timeout = d }

// SetEntropyPatience changes how long a session key waits for random bytes.
func (k *Key) SetEntropyPatience(d time.Duration) { k.random.patience = d }
