package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// newClockCommand is the way out when the log has entries from the future: the
// clock was wrong for a while, and the daemon rightly refuses to go back by itself.
func newClockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "The time of the transparency log",
		Args:  cobra.NoArgs,
	}
	var path, reason string
	accept := &cobra.Command{
		Use:   "accept",
		Short: "Let the log go on from the present time, although it has later entries (the daemon must be stopped)",
		Long: `Let the log go on from the present time, although it has later entries. The
daemon must be stopped.

Nothing is signed while the clock is behind the newest entry of the log: setting it
back could make what has expired valid again. If it is the entries that are wrong,
because the clock was ahead when they were made, put the clock right and say so with
this command. Who did it, when and why goes into the log.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(reason) == "" {
				return &usageError{errors.New("--reason: found nothing, want what happened to the clock; it goes into the log")}
			}
			return acceptClock(cmd, path, reason)
		},
	}
	accept.Flags().StringVar(&path, "config", defaultConfig, "the configuration file")
	accept.Flags().StringVar(&reason, "reason", "", "what happened to the clock (required)")
	cmd.AddCommand(accept)
	return cmd
}

func acceptClock(cmd *cobra.Command, path, reason string) error {
	return withState(cmd, path, func(state *storeHandle) error {
		now := time.Now()
		err := state.store.Update(cmd.Context(), func(tx signer.Tx) error {
			_, err := tx.Append(&audit.Leaf{Type: audit.LeafClock, Time: now, Reason: reason, Requester: operator()})
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "the log goes on from %s\n", now.UTC().Format(time.RFC3339))
		return nil
	})
}

// operator is who runs this command, as far as this process can tell.
func operator() *policy.Identity {
	return &policy.Identity{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}
