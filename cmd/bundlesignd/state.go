package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
	"github.com/bundlesign/bundlesign/store"
)

// storeHandle is the open state and the key that its log can be checked with.
type storeHandle struct {
	store    *store.Store
	verifier note.Verifier
	own      *backends.Set // of the log's key alone, or nil
}

// openState opens the state with the log's key, which may be in a backend: the set
// is where it is opened, and must stay open as long; nil means one of its own.
func openState(ctx context.Context, cfg *config.Config, set *backends.Set) (_ *storeHandle, err error) {
	h := new(storeHandle)
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.verifier, err = note.NewVerifier(cfg.Log.VerifierKey); err != nil {
		return nil, fmt.Errorf("log.key: %w", err)
	}
	logSigner := cfg.Log.Signer
	if cfg.Log.URI != "" {
		if set == nil {
			h.own = newBackends(cfg, zap.NewNop())
			set = h.own
		}
		key, err := set.OpenLogKey(backends.Spec{Name: "log", URI: cfg.Log.URI, Timeout: cfg.Log.Timeout})
		if err != nil {
			return nil, fmt.Errorf("log.uri: %w", err)
		}
		logSigner = signer.NewLogSigner(key, h.verifier, cfg.Log.Timeout)
	}
	h.store, err = store.Open(ctx, store.Options{Dir: cfg.StateDir, LogSigner: logSigner, LogVerifier: h.verifier})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (h *storeHandle) close() error {
	var errs []error
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	if h.own != nil {
		errs = append(errs, h.own.Close())
	}
	return errors.Join(errs...)
}
