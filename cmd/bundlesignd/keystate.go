package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// stateDesk is the state of a stopped daemon. While it is open, none can start.
type stateDesk struct {
	cfg   *config.Config
	state *storeHandle
	set   *backends.Set
	ring  []signer.KeyConfig
}

func openStateDesk(ctx context.Context, cfg *config.Config, log *zap.Logger) (_ *stateDesk, err error) {
	d := &stateDesk{cfg: cfg, set: newBackends(cfg, log)}
	if d.state, err = openState(ctx, cfg, d.set); err != nil {
		return nil, errors.Join(err, d.set.Close())
	}
	if d.ring, err = openKeys(d.set, cfg); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *stateDesk) close() error { return errors.Join(d.state.close(), d.set.Close()) }

func (d *stateDesk) append(ctx context.Context, leaf *audit.Leaf, also func(signer.Tx) error) (index int64, err error) {
	leaf.Type, leaf.Time, leaf.Requester = audit.LeafKey, time.Now(), operator()
	err = d.state.store.Update(ctx, func(tx signer.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		var err error
		index, err = tx.Append(leaf)
		return err
	})
	return index, err
}

func (d *stateDesk) record(ctx context.Context, op *wire.KeyOperation) (int64, error) {
	leaf := &audit.Leaf{
		Key: op.Key, KeyFingerprint: op.Fingerprint, Reason: op.Reason,
		Operation: &audit.KeyOperation{
			Action: audit.KeyAction(op.Action), Phase: audit.KeyPhase(op.Phase), URI: op.URI, Begun: op.Begun, LogKey: op.LogKey,
		},
	}
	if c := op.Custody; c != nil {
		leaf.Custody = signer.Custody{Level: signer.CustodyLevel(c.Level), Backend: c.Backend, Evidence: c.Evidence}
	}
	return d.append(ctx, leaf, nil)
}

// find returns a configured key.
func (d *stateDesk) find(name string) (*signer.KeyConfig, error) {
	for i := range d.ring {
		if d.ring[i].Name == name {
			return &d.ring[i], nil
		}
	}
	return nil, fmt.Errorf("there is no key %q in the configuration", name)
}

// switched is the entry of what is done to a key at once.
func switched(k *signer.KeyConfig, action audit.KeyAction, reason string) *audit.Leaf {
	return &audit.Leaf{
		Key: k.Name, KeyFingerprint: k.Pin.Fingerprint(), Reason: reason,
		Operation: &audit.KeyOperation{Action: action, Phase: audit.OperationDone},
	}
}

func (d *stateDesk) disable(ctx context.Context, name, reason string) error {
	k, err := d.find(name)
	if err != nil {
		return err
	}
	_, err = d.append(ctx, switched(k, audit.KeyDisable, reason), func(tx signer.Tx) error { return tx.DisableKey(name, reason) })
	return err
}

func (d *stateDesk) enable(ctx context.Context, name, reason string) error {
	k, err := d.find(name)
	if err != nil {
		return err
	}
	_, err = d.append(ctx, switched(k, audit.KeyEnable, reason), func(tx signer.Tx) error { return tx.EnableKey(name) })
	if errors.Is(err, signer.ErrNotFound) {
		return fmt.Errorf("key %q is not disabled", name)
	}
	return err
}

// blocked returns why a key must not be used for anything, as a state and a
// reason, or "".
func (d *stateDesk) blocked(ctx context.Context, name string) (signer.KeyState, string, error) {
	quarantined, err := d.state.store.Quarantined(ctx)
	if err != nil {
		return "", "", err
	}
	if reason, ok := quarantined[name]; ok {
		return signer.KeyQuarantined, reason, nil
	}
	disabled, err := d.state.store.Disabled(ctx)
	if err != nil {
		return "", "", err
	}
	if reason, ok := disabled[name]; ok {
		return signer.KeyDisabled, reason, nil
	}
	return "", "", nil
}

// check looks at every replica of a key and has each sign. The log has it before
// the key is used. A key that makes a wrong signature goes into quarantine, as it
// would in the daemon.
func (d *stateDesk) check(ctx context.Context, name string) (*wire.KeyCheck, error) {
	k, err := d.find(name)
	if err != nil {
		return nil, err
	}
	out := &wire.KeyCheck{Key: wireKey(k)}
	state, reason, err := d.blocked(ctx, name)
	if err != nil {
		return nil, err
	}
	if state != "" {
		out.Key.State, out.Key.Detail = string(state), reason
		return out, nil
	}
	entry := switched(k, audit.KeyCheck, "")
	entry.Operation.Phase = audit.OperationBegun
	begun, err := d.append(ctx, entry, nil)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	custody, fault := prove(ctx, k)
	out.TookSeconds = time.Since(began).Seconds()
	out.Key.LastCheckedAt = began.UTC().Format(time.RFC3339)
	out.Key.Custody = wireCustody(custody)

	leaf := switched(k, audit.KeyCheck, "")
	leaf.Operation.Begun = &begun
	if custody != nil {
		leaf.Custody = custody
	}
	var also func(signer.Tx) error
	switch {
	case fault == nil:
		out.OK, out.Key.State = true, string(signer.KeyOK)
	default:
		out.Key.State, out.Key.Detail = string(stateOf(fault)), fault.Error()
		leaf.Operation.Phase, leaf.Reason = audit.OperationFailed, shortened(fault.Error())
		if errors.Is(fault, errWrongSignature) {
			out.Key.State = string(signer.KeyQuarantined)
			also = func(tx signer.Tx) error { return quarantine(tx, k, leaf.Reason) }
		}
	}
	// Also when the operator has lost patience: what was found stays found.
	_, err = d.append(context.WithoutCancel(ctx), leaf, also)
	return out, err
}

func quarantine(tx signer.Tx, k *signer.KeyConfig, reason string) error {
	if err := tx.Quarantine(k.Name, reason); err != nil {
		return err
	}
	_, err := tx.Append(&audit.Leaf{
		Type: audit.LeafQuarantined, Time: time.Now(), Key: k.Name, KeyFingerprint: k.Pin.Fingerprint(), Reason: reason,
	})
	return err
}

// prove has each replica of a key show what is demanded of it and sign. It
// returns the custody of the first, and the first fault.
func prove(ctx context.Context, k *signer.KeyConfig) (shown *signer.Custody, fault error) {
	for _, r := range k.Replicas {
		custody, err := look(ctx, r.Key, k.Pin, k.Demand)
		if shown == nil {
			shown = custody
		}
		if err == nil {
			err = testSignature(ctx, r.Key, k.Pin)
		}
		if err != nil && (fault == nil || errors.Is(err, errWrongSignature)) {
			fault = fmt.Errorf("%s: %w", r.URI, err)
		}
	}
	return shown, fault
}

// keys looks at every key without using it.
func (d *stateDesk) keys(ctx context.Context) ([]wire.Key, error) {
	out := []wire.Key{}
	for i := range d.ring {
		w, err := d.show(ctx, &d.ring[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *w)
	}
	return out, nil
}

func (d *stateDesk) show(ctx context.Context, k *signer.KeyConfig) (*wire.Key, error) {
	w := wireKey(k)
	var fault error
	for i, r := range k.Replicas {
		custody, err := look(ctx, r.Key, k.Pin, k.Demand)
		at := &w.Replicas[i]
		at.Custody = wireCustody(custody)
		if err != nil {
			at.State, at.Detail = string(stateOf(err)), err.Error()
		}
		if err != nil && fault == nil {
			fault = fmt.Errorf("%s: %w", r.URI, err)
		}
		if w.Custody == nil {
			w.Custody = at.Custody
		}
	}
	state, reason, err := d.blocked(ctx, k.Name)
	switch {
	case err != nil:
		return nil, err
	case state != "":
		w.State, w.Detail = string(state), reason
	case fault != nil:
		w.State, w.Detail = string(stateOf(fault)), fault.Error()
	default:
		w.Detail = `the daemon is stopped; public key and custody are as they should be, and "bundlesignd key check" has it sign`
	}
	return &w, nil
}

// shortened makes of an error a reason that fits into the log.
func shortened(text string) string {
	text = show.Printable(text)
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}
