// Package pinrecord remembers, over crashes and restarts, which PINs a token was
// given, so that no loop of restarts locks a token.
//
// There is one small file for each token. It is written, and on the disk, before
// a PIN is tried, and again when the answer is known. Its invariants:
//
//   - A PIN that a token refused is not tried on it again, until another PIN is
//     configured or an operator clears the record.
//   - A PIN whose attempt got no answer (a crash, a hang, a kill) counts as
//     refused, unless there is proof that the token takes it: it took it before
//     in the life of this process, or from this very file, unchanged. Even then it
//     is not tried if the token says that somebody was refused since.
//   - What cannot be written down is not tried.
//
// Whether a PIN is the same as before is judged by its content. The identity of a
// file would not do: a systemd credential is a new file at each start, and
// configuration management likes to write the same wrong PIN again and again.
// So a digest of each PIN that failed is kept, which is a danger of its own: a
// PIN of four digits is found from any digest by trying all of them. Therefore
// the digest is salted and slow (Argon2id, RFC 9106), which is what helps longer
// PINs; the file is readable by the daemon's user only, who can read the PIN
// itself; and as soon as a token takes a PIN, every digest is removed. What
// stays of a good PIN is the identity of its file, which says nothing about it.
// A backup of the daemon's state can thus hold wrong PINs, but a right one only
// if it was made in the middle of a login, or after a crash in the middle of one.
package pinrecord

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// maxUnknown is how many attempts in a row may end without anything being known
	// of the PIN, if it was good before or the token did answer. Tokens that do not
	// say when their count is low are the reason for a limit: the PIN may have been
	// changed in the token meanwhile, or the module may use the wrong codes.
	maxUnknown = 5
	// maxRefused is how many refused PINs are remembered. With more the token is
	// not logged in to at all: nobody has so many.
	maxRefused = 16
)

// Token is what a token says of itself. It tells one token from another; the
// module that leads to it does not, because two modules can lead to one token.
type Token struct {
	Label        string `json:"label"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Serial       string `json:"serial"`
}

// ID is the name of the token's record: letters, digits and "-", made of the label
// and of a hash of everything.
func (t Token) ID() string {
	h := sha256.New()
	for _, s := range []string{t.Label, t.Manufacturer, t.Model, t.Serial} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	sum := hex.EncodeToString(h.Sum(nil)[:8])
	var slug []byte
	for _, c := range []byte(t.Label) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			slug = append(slug, c)
		}
	}
	if len(slug) == 0 {
		return sum
	}
	return string(slug[:min(len(slug), 24)]) + "-" + sum
}

// Store is the records as one user of a token sees them. Several, in this process
// or others, may use the same directory.
type Store struct {
	medium medium
	now    func() time.Time

	mu     sync.Mutex
	key    [32]byte                // of the hashes that are only in memory
	salt   []byte                  // of the digests of records that this Store begins
	cache  map[[32]byte]string     // digests that were computed, by hash of salt and PIN
	proved map[string][32]byte     // hashes of the PINs that tokens took, by ID
	blocks map[[32]byte]standingNo // PINs that are not tried, by hash
}

// standingNo is a refusal that holds as long as the record is as it was.
type standingNo struct {
	err   *BlockedError
	stamp string
}

// New returns the records in dir, an absolute path, which is made when it is
// needed. Without a dir they are kept in memory and end with the Store.
func New(dir string, now func() time.Time) *Store {
	s := &Store{
		now:    now,
		salt:   make([]byte, saltSize),
		cache:  map[[32]byte]string{},
		proved: map[string][32]byte{},
		blocks: map[[32]byte]standingNo{},
	}
	rand.Read(s.key[:])
	rand.Read(s.salt)
	if dir == "" {
		s.medium = newMemory()
	} else {
		s.medium = directory(dir)
	}
	return s
}

// Why is the reason for which a PIN is not tried.
type Why int

// The reasons.
const (
	Refused Why = iota + 1 // the token refused this PIN
	Unknown                // an attempt with this PIN got no answer
	TooMany                // so many PINs were refused that no more is tried
	Damaged                // the record cannot be read
)

// BlockedError says that a PIN is not tried.
type BlockedError struct {
	Why Why
	ID  string // of the record, for [Clear]
	Err error  // if Damaged
}

// Error implements error.
func (e *BlockedError) Error() string {
	switch e.Why {
	case Refused:
		return "the token refused this PIN before"
	case Unknown:
		return "an earlier attempt with this PIN got no answer, so the token may have refused it"
	case TooMany:
		return fmt.Sprintf("the token refused %d different PINs", maxRefused)
	}
	return fmt.Sprintf("the record of earlier attempts is damaged: %v", e.Err)
}

// Unwrap returns the cause.
func (e *BlockedError) Unwrap() error { return e.Err }

// ErrNotRecorded says that an attempt could not be written down and must not be
// made.
var ErrNotRecorded = errors.New("the attempt to log in cannot be recorded, so it is not made")
