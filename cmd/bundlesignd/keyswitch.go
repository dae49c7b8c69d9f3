package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newKeyDisableCommand(flags *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable NAME",
		Short: "Take a key out of use, at once",
		Long: `Take a key out of use: at once in a daemon that runs, and otherwise from its next
start on. It stays so until "bundlesignd key enable". What waits for the key fails,
and what is asked for is refused, with the reason.

Who did it, when and why goes into the transparency log. The private key stays where
it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return switchKey(cmd, flags, args[0], []string{
				fmt.Sprintf("Key %q is taken out of use at once, and stays so until it is enabled: nothing is signed with it.", args[0]),
				"Requests that wait for it fail, and new ones are refused with your reason.",
			}, func(d desk) error { return d.disable(cmd.Context(), args[0], flags.reason) }, "disabled")
		},
	}
	flags.addYes(cmd)
	flags.addReason(cmd, "why the key is taken out of use (required); it goes into the log, and requesters see it")
	return cmd
}

func newKeyEnableCommand(flags *keyFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable NAME",
		Short: "Let a key be used again that was disabled",
		Long: `Let a key be used again that was disabled: at once in a daemon that runs, and
otherwise from its next start on. A quarantine is not ended by it.

Who did it, when and why goes into the transparency log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return switchKey(cmd, flags, args[0], []string{
				fmt.Sprintf("Key %q may be used again, at once, by whom the policy allows it.", args[0]),
			}, func(d desk) error { return d.enable(cmd.Context(), args[0], flags.reason) }, "enabled")
		},
	}
	flags.addYes(cmd)
	flags.addReason(cmd, "why the key may be used again (required); it goes into the log")
	return cmd
}

// switchKey says what a change of a key is, asks, makes it and says so.
func switchKey(cmd *cobra.Command, flags *keyFlags, name string, plan []string, change func(desk) error, done string) error {
	if err := flags.checkReason(true); err != nil {
		return err
	}
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	if _, err := configured(cfg, name); err != nil {
		return err
	}
	if err := confirm(cmd, flags.yes, append(plan, inLog)); err != nil {
		return err
	}
	if err := withDesk(cmd.Context(), cfg, keyLogger(cmd), change); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "key %q is %s\n", name, done)
	return err
}

// inLog ends each plan.
const inLog = "The transparency log says so, for ever: what, who, when and why."
