package vault

import (
	"sync"
	"time"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
)

// Logins are what the keys of one daemon have in common that log in as the same role of
// the same Vault, with the same credential. It is more than a saving: a wrapped secret id
// can be taken out once, whichever key does so, and Vault counts the failures of a role,
// whichever key has them. Each key has a token of its own all the same.
type Logins struct {
	mu sync.Mutex
	of map[URI]*login
}

// NewLogins returns Logins of nobody yet.
func NewLogins() *Logins { return &Logins{of: map[URI]*login{}} }

// at returns the login that a URI describes.
func (l *Logins) at(u *URI) *login {
	same := *u // but for what says which key
	same.Mount, same.Key, same.Version, same.text = "", "", 0, ""
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[same] == nil {
		l.of[same] = &login{turn: make(chan struct{}, 1)}
	}
	return l.of[same]
}

// login is one credential, shown to one Vault.
type login struct {
	// turn is held by who logs in; a channel, so that others can leave the queue
	// when their context ends.
	turn chan struct{}

	// Under turn: a secret id that was taken out of its wrapping, and the state of the
	// file that this was.
	unwrapped string
	from      secretfile.ID

	mu sync.Mutex
	// What came of the newest try to log in, if it failed.
	failure  error
	by       *sessions
	failedAt time.Time
	refused  bool          // for good, not for want of an answer
	with     secretfile.ID // the state of the credential it was tried with
}

// failed notes that a try to log in failed.
func (l *login) failed(by *sessions, err error, at time.Time, with secretfile.ID, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure, l.by, l.failedAt, l.with, l.refused = err, by, at, with, refused
}

// worked notes that one did not.
func (l *login) worked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure, l.by, l.refused = nil, nil, false
}
