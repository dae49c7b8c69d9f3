package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

// between does something to a key between two entries of the log. That it begins is
// durable before fn is called; how it ended is written also after an interruption.
// Fn gets the second entry and adds what it found out. The error says what is there
// and what the log does not have.
func between(ctx context.Context, d desk, entry wire.KeyOperation, fn func(context.Context, *wire.KeyOperation) error) (begun, ended int64, err error) {
	entry.Phase = string(audit.OperationBegun)
	if begun, err = d.record(ctx, &entry); err != nil {
		return 0, 0, fmt.Errorf("nothing was done, because the log cannot say so: %w", err)
	}
	entry.Begun, entry.Phase = &begun, string(audit.OperationDone)
	fault := fn(ctx, &entry)
	if fault != nil {
		entry.Phase, entry.Reason = string(audit.OperationFailed), shortened(fault.Error())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if ended, err = d.record(ctx, &entry); err != nil {
		did := "it was done"
		if entry.Fingerprint != "" {
			did += ", with the key " + entry.URI + ", " + entry.Fingerprint
		}
		if fault != nil {
			did = "it failed"
		}
		err = fmt.Errorf("the log could not be told that %s; its entry %d stays begun: %w", did, begun, err)
	}
	return begun, ended, errors.Join(fault, err)
}

// recordTimeout is how long the second entry may take.
const recordTimeout = time.Minute
