package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// What these commands do is in no log: they only look.

func newKeyListCommand(flags *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys of the configuration and how they are",
		Long: `List the keys and how they are, as the daemon knows it or, while it is stopped, as
their backends show them. Nothing is signed, and nothing is written into the log.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := lookAtKeys(cmd, flags)
			if err != nil {
				return err
			}
			if flags.json {
				return writeJSON(cmd.OutOrStdout(), wire.KeyList{Keys: keys})
			}
			var t table
			t.Row("NAME", "STATE", "CUSTODY", "KEY ID", "APPS", "DETAIL")
			for _, k := range keys {
				t.Row(k.Name, k.State, custodyLevel(&k), k.KeyID, strings.Join(k.Apps, " "), orDash(k.Detail))
			}
			_, err = io.WriteString(cmd.OutOrStdout(), t.String())
			return err
		},
	}
	flags.addJSON(cmd)
	return cmd
}

func newKeyShowCommand(flags *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show everything that is known of a key",
		Long: `Show everything that is known of a key: where it is, what is pinned and demanded,
what it proved, and why it is in its state; as the daemon knows it or, while it is
stopped, as its backend shows it. Nothing is signed, and nothing is written into the
log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := lookAtKeys(cmd, flags)
			if err != nil {
				return err
			}
			for i := range keys {
				if keys[i].Name == args[0] {
					return printKey(cmd.OutOrStdout(), &keys[i], flags.json)
				}
			}
			return &usageError{fmt.Errorf("there is no key %q; bundlesignd key list shows them", args[0])}
		},
	}
	flags.addJSON(cmd)
	return cmd
}

// lookAtKeys returns what is known of all keys.
func lookAtKeys(cmd *cobra.Command, flags *keyFlags) (keys []wire.Key, err error) {
	cfg, err := flags.load()
	if err != nil {
		return nil, err
	}
	err = withDesk(cmd.Context(), cfg, keyLogger(cmd), func(d desk) error {
		keys, err = d.keys(cmd.Context())
		return err
	})
	return keys, err
}

func printKey(w io.Writer, k *wire.Key, asJSON bool) error {
	if asJSON {
		return writeJSON(w, k)
	}
	var t table
	t.Row("name", k.Name)
	t.Row("state", k.State)
	if k.Detail != "" {
		t.Row("detail", k.Detail)
	}
	t.Row("apps", strings.Join(k.Apps, " "))
	if k.OnlyOnRequest {
		t.Row("only on request", "yes: it signs only for requests that name it")
	}
	for i, r := range k.Replicas {
		name := "uri"
		if i > 0 {
			name = "replica"
		}
		t.Row(name, r.URI)
		if len(k.Replicas) > 1 {
			t.Row("  state", replicaState(&r))
		}
	}
	t.Row("key id", k.KeyID)
	t.Row("fingerprint", k.Fingerprint)
	t.Row("custody demanded", k.CustodyDemand)
	t.custody(k.Custody)
	t.Row("last checked", orDash(k.LastCheckedAt))
	_, err := io.WriteString(w, t.String()+"\n"+k.PublicKey)
	return err
}

func replicaState(r *wire.Replica) string {
	state := r.State
	if r.InUse {
		state += ", in use"
	}
	if r.Detail != "" {
		state += ": " + r.Detail
	}
	return state
}

func newKeyPublicCommand(flags *keyFlags) *cobra.Command {
	var forLog bool
	cmd := &cobra.Command{
		Use:   "public NAME",
		Short: "Print the public key, exactly as the app carries it",
		Long: `Print the public key as it is pinned in the configuration, to the byte as it belongs
into plugins.CapacitorUpdater.publicKey of the app's capacitor.config.

If the backend has another key than that, it says so on stderr and exits with 1: such
an app would accept nothing that is signed. Nothing is written into the log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if forLog {
				return showLogKey(cmd, flags, args[0])
			}
			cfg, err := flags.load()
			if err != nil {
				return err
			}
			key, err := configured(cfg, args[0])
			if err != nil {
				return err
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), key.PublicKey.PEM()); err != nil {
				return err
			}
			return comparePin(cmd, cfg, key)
		},
	}
	cmd.Flags().BoolVar(&forLog, "log", false, "the argument is the URI of the key of a log")
	return cmd
}

// comparePin says whether the backend has the key that is pinned. That this cannot
// be told now is no error: the pin is what it is.
func comparePin(cmd *cobra.Command, cfg *config.Config, pinned *config.Key) error {
	var keys []wire.Key
	err := withDesk(cmd.Context(), cfg, keyLogger(cmd), func(d desk) (err error) {
		keys, err = d.keys(cmd.Context())
		return err
	})
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "bundlesignd: the pin could not be compared with the backend: %s\n", show.Printable(err.Error()))
		return nil
	}
	for _, k := range keys {
		switch {
		case k.Name != pinned.Name:
		case k.Fingerprint != pinned.PublicKey.Fingerprint():
			return fmt.Errorf("the daemon that runs pins another key, %s: restart it, or undo the change of public_key", k.Fingerprint)
		case k.State == string(signer.KeyUnusable):
			return errors.New(show.Printable(k.Detail))
		case k.Custody == nil:
			fmt.Fprintf(cmd.ErrOrStderr(), "bundlesignd: the pin could not be compared with the backend: the key is %s: %s\n", k.State, show.Printable(k.Detail))
		}
	}
	return nil
}
