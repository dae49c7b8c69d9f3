package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/store"
)

// desk is where operations on keys take effect and are written down: the daemon
// or, while it is stopped, its state. When a method returns nil, what it did is
// durable.
type desk interface {
	// record writes what is done to a key outside the daemon into the log, and
	// returns the index of the entry.
	record(ctx context.Context, op *wire.KeyOperation) (int64, error)
	disable(ctx context.Context, name, reason string) error
	enable(ctx context.Context, name, reason string) error
	// check has a key make a test signature. That a key is not well is no error.
	check(ctx context.Context, name string) (*wire.KeyCheck, error)
	// keys returns what is known of every configured key, without using it.
	keys(ctx context.Context) ([]wire.Key, error)
	close() error
}

// openDesk finds the daemon at its socket or, if nobody is there, opens its state,
// which no daemon can start with meanwhile.
func openDesk(ctx context.Context, cfg *config.Config, log *zap.Logger) (desk, error) {
	c := client.New(cfg.Socket.Path, client.WithReconnect(0), client.WithUserAgent("bundlesignd key"))
	status, err := c.Status(ctx)
	var gone *client.UnreachableError
	switch {
	case err == nil && status.LogKey == cfg.Log.VerifierKey:
		return &daemonDesk{c}, nil
	case err == nil:
		return nil, fmt.Errorf("the daemon at %s has the log key %s, and the configuration another, %s: is it the daemon of this configuration?",
			cfg.Socket.Path, status.LogKey, cfg.Log.VerifierKey)
	case !errors.As(err, &gone), gone.Reason != client.NoSocket && gone.Reason != client.NotListening:
		return nil, err
	}
	d, err := openStateDesk(ctx, cfg, log)
	var locked *store.LockedError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("%w (and nobody answers at its socket %s: if it is starting or stopping, try again)", err, cfg.Socket.Path)
	}
	return d, err
}

// withDesk opens the desk for fn.
func withDesk(ctx context.Context, cfg *config.Config, log *zap.Logger, fn func(desk) error) (err error) {
	d, err := openDesk(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return fn(d)
}

// daemonDesk is the running daemon, over its socket.
type daemonDesk struct{ client *client.Client }

func (d *daemonDesk) record(ctx context.Context, op *wire.KeyOperation) (int64, error) {
	return d.client.RecordOperation(ctx, op)
}

func (d *daemonDesk) disable(ctx context.Context, name, reason string) error {
	_, err := d.client.DisableKey(ctx, name, reason)
	return err
}

func (d *daemonDesk) enable(ctx context.Context, name, reason string) error {
	_, err := d.client.EnableKey(ctx, name, reason)
	return err
}

func (d *daemonDesk) check(ctx context.Context, name string) (*wire.KeyCheck, error) {
	return d.client.CheckKey(ctx, name)
}

func (d *daemonDesk) keys(ctx context.Context) ([]wire.Key, error) { return d.client.Keys(ctx) }

func (d *daemonDesk) close() error {
	d.client.Close()
	return nil
}
