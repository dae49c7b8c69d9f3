package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// newQuarantineCommand works on the state directly, so only while the daemon is
// stopped: ending a quarantine should not be a thing of a moment.
func newQuarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Keys that made a wrong signature and are not used any more",
		Args:  cobra.NoArgs,
	}
	var path string
	cmd.PersistentFlags().StringVar(&path, "config", defaultConfig, "the configuration file")
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the keys in quarantine, with the reason (the daemon must be stopped)",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return listQuarantine(cmd, path) },
		},
		newReleaseCommand(&path),
	)
	return cmd
}

func newReleaseCommand(path *string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "release KEY",
		Short: "Let a key be used again (the daemon must be stopped)",
		Long: `Let a key be used again. The daemon must be stopped.

A key is in quarantine because it made a signature that did not verify. One
faulty RSA signature can be enough to compute the private key, so find out
first what went wrong, and whether the signature can have been seen by anybody.
Who released it, when and why goes into the transparency log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return &usageError{errors.New("--reason: found nothing, want why the key can be trusted again; it goes into the log")}
			}
			return releaseQuarantine(cmd, *path, args[0], reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why the key can be trusted again (required)")
	return cmd
}

func withState(cmd *cobra.Command, path string, fn func(*storeHandle) error) (err error) {
	if err := harden(); err != nil {
		return err
	}
	cfg, _, err := config.Load(path, config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		return err
	}
	state, err := openState(cmd.Context(), cfg, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.close()) }()
	return fn(state)
}

func listQuarantine(cmd *cobra.Command, path string) error {
	return withState(cmd, path, func(state *storeHandle) error {
		keys, err := state.store.Quarantined(cmd.Context())
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, keys[name])
		}
		return nil
	})
}

func releaseQuarantine(cmd *cobra.Command, path, key, reason string) error {
	return withState(cmd, path, func(state *storeHandle) error {
		var index int64
		err := state.store.Update(cmd.Context(), func(tx signer.Tx) error {
			if err := tx.Release(key); err != nil {
				return err
			}
			var err error
			index, err = tx.Append(&audit.Leaf{
				Type: audit.LeafReleased, Time: time.Now(), Key: key, Reason: reason,
				Requester: operator(),
			})
			return err
		})
		if errors.Is(err, signer.ErrNotFound) {
			return fmt.Errorf("key %q is not in quarantine", key)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "key %q is released; log entry %d\n", key, index)
		return nil
	})
}
