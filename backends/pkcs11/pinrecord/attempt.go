package pinrecord

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Try is one PIN that somebody wants to give to a token.
type Try struct {
	Token  Token
	Module string // that leads to it
	PIN    []byte
	// Source is the state of the file that the PIN was read from, which changes
	// with each change of the file and is the same after a restart, or "" if it
	// comes from elsewhere.
	Source string
	// CountLow: the token says that it refused a PIN since it last took one
	// (CKF_USER_PIN_COUNT_LOW). Tokens need not say so.
	CountLow bool
}

// Attempt is one that was written down. One of its methods must be called, once;
// until then everybody else who wants to log in to the token waits.
type Attempt struct {
	store  *Store
	try    *Try
	before *record // nil: there was none
	record *record
	unlock func()
}

// Begin writes an attempt down, and returns when that is durable. It fails with a
// [BlockedError] if this PIN must not be tried, with [ErrNotRecorded] if the
// attempt could not be written down, and with ctx's error if somebody else is
// logging in to the token for longer than that. The PIN stays the caller's, and is
// not used after the attempt has ended.
func (s *Store) Begin(ctx context.Context, try *Try) (*Attempt, error) {
	id := try.Token.ID()
	unlock, err := s.medium.lock(ctx, id)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for another login to the token to end: %w", err)
		}
		return nil, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	a, err := s.begin(id, try)
	if err != nil {
		unlock()
		return nil, err
	}
	a.unlock = unlock
	return a, nil
}

func (s *Store) begin(id string, try *Try) (*Attempt, error) {
	before, err := s.load(id)
	if err != nil {
		return nil, err
	}
	r := &record{Salt: s.salt}
	if before != nil {
		copied := *before
		r = &copied
		r.Refused = slices.Clone(before.Refused)
		if len(r.Refused) == 0 && r.Pending == "" {
			r.Salt = s.salt
		}
	}
	r.Token, r.Module, r.Time = try.Token, try.Module, s.now().UTC()
	digest := s.digest(r.Salt, try.PIN)
	if why := s.judge(id, r, digest, try); why != 0 {
		// What was concluded from the flags must not be forgotten when they change.
		if before != nil && before.Pending != r.Pending {
			if err := s.save(id, r); err != nil {
				return nil, err
			}
		}
		return nil, s.block(id, try.PIN, why)
	}
	r.Pending, r.Answered = digest, false
	r.Unknown++
	if err := s.save(id, r); err != nil {
		return nil, err
	}
	return &Attempt{store: s, try: try, before: before, record: r}, nil
}

// judge says why a PIN must not be tried, or 0. It moves an attempt without an
// answer to the refused ones if it has to count as that.
func (s *Store) judge(id string, r *record, digest string, try *Try) Why {
	if r.Pending != "" && (r.Pending != digest || try.CountLow) {
		r.Refused = append(r.Refused, r.Pending)
		r.Pending, r.Unknown, r.Answered, r.Accepted = "", 0, false, ""
	}
	switch {
	case slices.Contains(r.Refused, digest):
		return Refused
	case len(r.Refused) >= maxRefused:
		return TooMany
	case r.Pending == "":
		return 0
	case r.Unknown >= maxUnknown, !r.Answered && !s.isProved(id, r, try):
		return Unknown
	}
	return 0
}

// isProved reports whether the token took this PIN before.
func (s *Store) isProved(id string, r *record, try *Try) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hash, ok := s.proved[id]; ok && hash == s.hash(nil, try.PIN) {
		return true
	}
	return try.Source != "" && try.Source == r.Accepted
}

// Accepted ends an attempt with a PIN that the token took. The record that is left
// holds nothing of any PIN. On error the attempt stays without an answer, or there is
// no record; the login is good nevertheless.
func (a *Attempt) Accepted() error {
	defer a.unlock()
	s, id := a.store, a.try.Token.ID()
	s.mu.Lock()
	s.proved[id] = s.hash(nil, a.try.PIN)
	s.mu.Unlock()
	if a.try.Source == "" || !s.medium.outlives() {
		return s.medium.remove(id)
	}
	r := &record{Token: a.try.Token, Module: a.try.Module, Time: s.now().UTC(), Accepted: a.try.Source}
	if err := s.save(id, r); err != nil {
		// Taking a file away works on a full disk too.
		return errors.Join(err, s.medium.remove(id))
	}
	return nil
}

// Refused ends an attempt with a PIN that the token did not take. On error the
// attempt stays without an answer, and this Store does not try the PIN anyway.
func (a *Attempt) Refused() error {
	defer a.unlock()
	return a.store.refuse(a.try, a.record)
}

func (s *Store) refuse(try *Try, r *record) error {
	id := try.Token.ID()
	s.mu.Lock()
	delete(s.proved, id)
	s.mu.Unlock()
	if d := s.digest(r.Salt, try.PIN); !slices.Contains(r.Refused, d) {
		r.Refused = append(r.Refused, d)
	}
	r.Pending, r.Unknown, r.Answered, r.Accepted = "", 0, false, ""
	err := s.save(id, r)
	s.block(id, try.PIN, Refused)
	return err
}

// NotMade ends an attempt in which the token was not given the PIN.
func (a *Attempt) NotMade() error {
	defer a.unlock()
	id := a.try.Token.ID()
	if a.before == nil {
		return a.store.medium.remove(id)
	}
	return a.store.save(id, a.before)
}

// NoAnswer ends an attempt of which nobody knows how it ended. The record says so
// already.
func (a *Attempt) NoAnswer() { a.unlock() }

// Unclear ends an attempt that was answered without a word on whether the token
// had looked at the PIN. Such attempts go on, because most often an HSM is out of
// reach: without end if the PIN is proved good, otherwise up to a limit, and in any
// case only as long as the token does not say that it refused one.
func (a *Attempt) Unclear() error {
	defer a.unlock()
	id := a.try.Token.ID()
	a.record.Answered = true
	if a.store.isProved(id, a.record, a.try) {
		a.record.Unknown--
	}
	return a.store.save(id, a.record)
}

// Refuse writes down that a token refused a PIN that it had taken at login: for the
// use of a key that wants it each time.
func (s *Store) Refuse(ctx context.Context, try *Try) error {
	id := try.Token.ID()
	unlock, err := s.medium.lock(ctx, id)
	if err != nil {
		s.block(id, try.PIN, Refused)
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	defer unlock()
	r, err := s.load(id)
	if err != nil {
		s.block(id, try.PIN, Refused)
		return err
	}
	if r == nil {
		r = &record{}
	}
	if len(r.Refused) == 0 && r.Pending == "" {
		r.Salt = s.salt
	}
	r.Token, r.Module, r.Time = try.Token, try.Module, s.now().UTC()
	return s.refuse(try, r)
}

// Blocked returns why this PIN is not tried, if that was found out before and the
// record is as it was then. It looks at no token and computes no digest.
func (s *Store) Blocked(pin []byte) error {
	hash := s.hash(nil, pin)
	s.mu.Lock()
	no, ok := s.blocks[hash]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	if s.medium.stamp(no.err.ID) == no.stamp {
		return no.err
	}
	s.mu.Lock()
	delete(s.blocks, hash)
	s.mu.Unlock()
	return nil
}

// block remembers that a PIN is not tried as long as the record is as it is.
func (s *Store) block(id string, pin []byte, why Why) *BlockedError {
	no := standingNo{&BlockedError{Why: why, ID: id}, s.medium.stamp(id)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.blocks) >= maxRefused {
		clear(s.blocks)
	}
	s.blocks[s.hash(nil, pin)] = no
	return no.err
}

func (s *Store) load(id string) (*record, error) {
	data, err := s.medium.load(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	if data == nil {
		return nil, nil
	}
	r, err := decode(data)
	if err != nil {
		return nil, &BlockedError{Why: Damaged, ID: id, Err: err}
	}
	return r, nil
}

func (s *Store) save(id string, r *record) error {
	data, err := r.encode()
	if err == nil {
		err = s.medium.save(id, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return nil
}
