package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// errWrongSignature says that a key made a signature that does not verify.
var errWrongSignature = errors.New("wrong signature")

// testSignature has a key sign, and verifies the result. What it signs is a session
// key that is drawn for it and forgotten, which is of no use to anybody.
func testSignature(ctx context.Context, key signer.Key, public *capgo.PublicKey) error {
	test := capgo.SessionKeyPayload()
	sigs, err := key.Sign(ctx, []capgo.Payload{test})
	if err != nil {
		return err
	}
	if len(sigs) != 1 {
		return fmt.Errorf("%w: %d signatures for one payload", errWrongSignature, len(sigs))
	}
	if err := public.Verify(test, sigs[0]); err != nil {
		return fmt.Errorf("%w: %w", errWrongSignature, err)
	}
	return nil
}

// look compares what a key shows of itself with what the configuration says of it,
// without using it.
func look(ctx context.Context, key signer.Key, pin *capgo.PublicKey, demand signer.CustodyLevel) (*signer.Custody, error) {
	ev, err := key.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if !ev.PublicKey.Equal(pin) {
		return nil, &otherKeyError{found: ev.PublicKey, pin: pin}
	}
	if ev.Custody.Level.Rank() < demand.Rank() || demand.Rank() < 0 {
		return &ev.Custody, fmt.Errorf("%w: it proved custody %q, but the configuration demands %q", signer.ErrKeyUnusable, ev.Custody.Level, demand)
	}
	return &ev.Custody, nil
}

// otherKeyError says that a backend has another key than the one that is pinned.
type otherKeyError struct{ found, pin *capgo.PublicKey }

func (e *otherKeyError) Error() string {
	return fmt.Sprintf("its public key is %s, but the configuration pins %s; correct uri or public_key", e.found.Fingerprint(), e.pin.Fingerprint())
}

func (e *otherKeyError) Unwrap() error { return signer.ErrKeyUnusable }

// stateOf says what an error of a key means for its use.
func stateOf(err error) signer.KeyState {
	switch {
	case errors.Is(err, signer.ErrKeyUnusable):
		return signer.KeyUnusable
	default:
		return signer.KeyUnavailable
	}
}
