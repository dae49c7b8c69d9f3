package main

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/store"
)

// storeHandle is the open state and the key that its log can be checked with.
type storeHandle struct {
	store    *store.Store
	verifier note.Verifier
}

func openState(ctx context.Context, cfg *config.Config) (*storeHandle, error) {
	verifier, err := note.NewVerifier(cfg.Log.VerifierKey)
	if err != nil {
		return nil, fmt.Errorf("log.key: %w", err)
	}
	s, err := store.Open(ctx, store.Options{Dir: cfg.StateDir, LogSigner: cfg.Log.Signer, LogVerifier: verifier})
	if err != nil {
		return nil, err
	}
	return &storeHandle{s, verifier}, nil
}
