package signer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// This file is what an operator does to keys while the daemon runs. Who may is for
// the caller to check.

// DisableKey takes a key out of use, at once: nothing that it made meanwhile is
// released, and requests that wait for it fail. The reason is needed; it goes
// into the log.
func (s *Signer) DisableKey(ctx context.Context, name, reason string, who policy.Identity) error {
	k, err := s.known(name)
	if err != nil {
		return err
	}
	if reason = shorten(strings.TrimSpace(reason), maxReason); reason == "" {
		return invalid("/reason", "found nothing, want why the key is taken out of use; it goes into the log")
	}
	// Before it is durable: a key that somebody wants stopped is stopped, also
	// when the disk is full.
	before, _ := k.disabledFor()
	k.disable(reason)
	err = s.update(ctx, func(tx Tx) error {
		if err := tx.DisableKey(name, reason); err != nil {
			return err
		}
		_, err := s.append(tx, operation(k, audit.KeyDisable, audit.OperationDone, reason, who))
		return err
	})
	if err != nil {
		if before == "" {
			s.log.Error("a key is disabled until the next start only: that cannot be recorded", zap.String("key", name), zap.Error(err))
		}
		return storeError(err)
	}
	s.log.Warn("key is disabled", zap.String("key", name), zap.String("reason", reason), zap.Stringer("by", who))
	return nil
}

// EnableKey lets a disabled key be used again. A quarantine it does not end.
func (s *Signer) EnableKey(ctx context.Context, name, reason string, who policy.Identity) error {
	k, err := s.known(name)
	if err != nil {
		return err
	}
	_, orders := k.disabledFor()
	err = s.update(ctx, func(tx Tx) error {
		why, now := k.disabledFor()
		if now != orders { // who disables it later comes later in the log, too
			return &Error{Kind: KindConflict, Detail: fmt.Sprintf("key %q was disabled again meanwhile: %s", name, why)}
		}
		if err := tx.EnableKey(name); err != nil && (!errors.Is(err, ErrNotFound) || why == "") {
			return err
		}
		_, err := s.append(tx, operation(k, audit.KeyEnable, audit.OperationDone, shorten(reason, maxReason), who))
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return &Error{Kind: KindConflict, Detail: fmt.Sprintf("key %q is not disabled", name)}
	}
	if err != nil {
		return storeError(err)
	}
	k.enable(orders)
	s.log.Warn("key is enabled", zap.String("key", name), zap.String("reason", reason), zap.Stringer("by", who))
	return nil
}

// CheckKey looks at every replica of a key now, which makes a test signature with
// each, and returns what was found. That it does is in the log before the key is
// used, and what it found afterwards. A key that is quarantined or disabled is not
// used for that either.
func (s *Signer) CheckKey(ctx context.Context, name string, who policy.Identity) (KeyStatus, error) {
	k, err := s.known(name)
	if err != nil {
		return KeyStatus{}, err
	}
	if err := k.blocked(); err != nil {
		return KeyStatus{}, err
	}
	begun, err := s.Record(ctx, operation(k, audit.KeyCheck, audit.OperationBegun, "", who))
	if err != nil {
		return KeyStatus{}, err
	}
	interrupted := k.examineAll(ctx)
	st := k.status()
	leaf := operation(k, audit.KeyCheck, audit.OperationDone, "", who)
	leaf.Operation.Begun = &begun
	if fault := st.fault(interrupted); fault != "" {
		leaf.Operation.Phase, leaf.Reason = audit.OperationFailed, shorten(fault, maxReason)
	}
	if shown := st.weakest(); shown != nil {
		leaf.Custody = shown
	}
	// Also when the operator has lost patience: what has begun ends in the log.
	if _, err := s.Record(context.WithoutCancel(ctx), leaf); err != nil {
		return st, err
	}
	return st, interrupted
}

// examineAll looks at every replica now, but for those whose backend asked to be
// left alone. The error says why that did not come to its end.
func (k *managedKey) examineAll(ctx context.Context) error {
	var looks []<-chan struct{}
	for _, r := range k.replicas {
		if pause, _ := r.pausedFor(); pause > 0 {
			continue
		}
		done := r.examine()
		if done == nil {
			if err := k.blocked(); err != nil {
				return err
			}
			return stoppingError()
		}
		looks = append(looks, done)
	}
	for _, done := range looks {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the check of key %q: %w", k.Name, ctx.Err())
		}
	}
	return nil
}

// fault says what a check found, or what interrupted it; "" if all is well.
func (st *KeyStatus) fault(interrupted error) string {
	switch {
	case interrupted != nil:
		return interrupted.Error()
	case st.State == KeyQuarantined, st.State == KeyDisabled:
		return st.Detail
	}
	for _, r := range st.At {
		if r.State != KeyOK {
			return r.URI + ": " + r.Detail
		}
	}
	return ""
}

// weakest returns the least custody that any replica which is well proved, or nil.
func (st *KeyStatus) weakest() (least *Custody) {
	for _, r := range st.At {
		if r.State == KeyOK && (least == nil || r.Custody.Level.Rank() < least.Level.Rank()) {
			least = r.Custody
		}
	}
	return least
}

// Record writes an entry about what an operator did into the log.
func (s *Signer) Record(ctx context.Context, leaf *audit.Leaf) (index int64, err error) {
	err = s.update(ctx, func(tx Tx) (err error) {
		index, err = s.append(tx, leaf)
		return err
	})
	return index, storeError(err)
}

// append appends an entry that happens now.
func (s *Signer) append(tx Tx, leaf *audit.Leaf) (int64, error) {
	leaf.Time = s.clock.Now()
	return tx.Append(leaf)
}

func operation(k *managedKey, action audit.KeyAction, phase audit.KeyPhase, reason string, who policy.Identity) *audit.Leaf {
	return &audit.Leaf{
		Type: audit.LeafKey, Requester: &who, Reason: reason,
		Key: k.Name, KeyFingerprint: k.Pin.Fingerprint(),
		Operation: &audit.KeyOperation{Action: action, Phase: phase, URI: k.Replicas[0].URI},
	}
}

func (s *Signer) known(name string) (*managedKey, error) {
	if k := s.keys.byName[name]; k != nil {
		return k, nil
	}
	return nil, &Error{Kind: KindNotFound, Detail: fmt.Sprintf("there is no key %q", name), Err: ErrNotFound}
}
