package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
)

// newPINCommand is the way out when a token's PIN is not tried any more: one wrong
// attempt stops all others, since a token locks after a few.
func newPINCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Tokens whose PIN was tried, and what they said",
		Args:  cobra.NoArgs,
	}
	flags := new(keyFlags)
	cmd.PersistentFlags().StringVar(&flags.config, "config", defaultConfig, "the configuration file")
	clearCommand := &cobra.Command{
		Use:   "clear ID",
		Short: "Let the PIN of a token be tried once more",
		Long: `Let the PIN of a token be tried once more, also by a daemon that runs. A token locks
after a few wrong PINs: make sure first that the PIN in its file is right, and with the
vendor's tool how many attempts are left.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return clearPIN(cmd, flags, args[0]) },
	}
	flags.addYes(clearCommand)
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the tokens, with the newest attempt to log in",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return listPINs(cmd, flags) },
		},
		clearCommand,
	)
	return cmd
}

func listPINs(cmd *cobra.Command, flags *keyFlags) error {
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	all, err := pinrecord.List(pinRecords(cfg))
	if err != nil {
		return err
	}
	var t table
	t.Row("ID", "TOKEN", "SERIAL", "NEWEST ATTEMPT", "STATE")
	for i := range all {
		s := &all[i]
		at := "-"
		if !s.Time.IsZero() {
			at = s.Time.UTC().Format(time.RFC3339)
		}
		t.Row(s.ID, orDash(s.Token.Label), orDash(s.Token.Serial), at, pinState(s))
	}
	_, err = io.WriteString(cmd.OutOrStdout(), t.String())
	return err
}

// pinState says in words whether a PIN is tried.
func pinState(s *pinrecord.Summary) string {
	switch {
	case s.Damaged != "":
		return "no PIN is tried: the record is damaged: " + s.Damaged
	case s.Refused > 0:
		return fmt.Sprintf("%s refused; another PIN is tried, or the same after \"bundlesignd pin clear\"", count(s.Refused, "PIN"))
	case s.Unanswered:
		return "an attempt got no answer, or is being made"
	}
	return "the PIN was accepted"
}

func clearPIN(cmd *cobra.Command, flags *keyFlags, id string) error {
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	if err := asDaemonUser(cfg); err != nil {
		return err
	}
	plan := []string{
		fmt.Sprintf("What is recorded of the token %s is taken away: its PIN is tried once more, also by a daemon that runs.", id),
		"A token locks after a few wrong PINs.",
	}
	if err := confirm(cmd, flags.yes, plan); err != nil {
		return err
	}
	err = pinrecord.Clear(pinRecords(cfg), id)
	if errors.Is(err, pinrecord.ErrNoRecord) {
		return &usageError{fmt.Errorf("%w; bundlesignd pin list shows them", err)}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the PIN of token %s is tried once more\n", id)
	return err
}
