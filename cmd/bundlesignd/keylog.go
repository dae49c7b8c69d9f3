package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
)

// logKeyName is what the log's key is called in its own entries, which say too that
// it is no key for apps.
const logKeyName = "log"

// errOwnTool says that a backend makes the log's key by its own tool alone.
var errOwnTool = errors.New(`this backend makes an Ed25519 key with its own tool only (docs/backends.md has the command); make it, and have "bundlesignd key public --log URI" print what belongs into the configuration`)

// createLogKey has a backend make the key of a log.
func createLogKey(cmd *cobra.Command, flags *keyFlags, cfg *config.Config, uri string) (err error) {
	log := keyLogger(cmd)
	set, err := openBackends(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	made, err := set.Maker(uri)
	if err != nil {
		return &usageError{err}
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	maker, ok := made.(backends.LogKeyMaker)
	if !ok {
		return &usageError{errOwnTool}
	}
	plan, err := maker.PlanLogKey(cmd.Context())
	if err != nil {
		return fmt.Errorf("it cannot be done: %w", err)
	}
	plan = append(plan, fmt.Sprintf("It is for a new log. That of this configuration, %s, goes on with the key that it has.", cfg.Log.Origin), inLog)
	if err := confirm(cmd, flags.yes, plan); err != nil {
		return err
	}
	ctx, end := interruptible(cmd)
	defer end()
	var out string
	var public ed25519.PublicKey
	entry := wire.KeyOperation{Action: string(audit.KeyCreate), Key: logKeyName, URI: uri, LogKey: true, Reason: flags.reason}
	err = withDesk(ctx, cfg, log, func(d desk) error {
		_, _, err := between(ctx, d, entry, func(ctx context.Context, done *wire.KeyOperation) error {
			var err error
			if out, err = maker.CreateLogKey(ctx); err != nil {
				return err
			}
			done.URI = out
			if public, err = logPublicKey(ctx, set, out); err != nil {
				return fmt.Errorf("the key is there, as %s, but it is not fit for use: %w", out, err)
			}
			sum := sha256.Sum256(public)
			done.Fingerprint = "SHA256:" + hex.EncodeToString(sum[:])
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	return printLogKey(cmd, cfg, out, public)
}

func logPublicKey(ctx context.Context, set *backends.Set, uri string) (_ ed25519.PublicKey, err error) {
	key, err := set.OpenLogKey(backends.Spec{Name: logKeyName, URI: uri})
	if err != nil {
		return nil, &usageError{err}
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	return key.PublicKey(ctx)
}

// showLogKey prints what the configuration needs of a key that is there.
func showLogKey(cmd *cobra.Command, flags *keyFlags, uri string) (err error) {
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	set, err := openBackends(cfg, keyLogger(cmd))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	public, err := logPublicKey(cmd.Context(), set, uri)
	if err != nil {
		return err
	}
	return printLogKey(cmd, cfg, uri, public)
}

func printLogKey(cmd *cobra.Command, cfg *config.Config, uri string, public ed25519.PublicKey) error {
	verifier, err := note.NewEd25519VerifierKey(cfg.Log.Origin, public)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "For config.yaml, with an empty state_dir; another origin needs another public_key:\n\nlog:\n  origin: %s\n  uri: %s\n  public_key: %s\n",
		quoteYAML(cfg.Log.Origin), quoteYAML(uri), quoteYAML(verifier))
	return err
}
