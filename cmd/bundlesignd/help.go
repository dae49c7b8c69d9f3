package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newHelpCommand is cobra's, but for a command that is not there, which is an
// error.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return &usageError{fmt.Errorf("found no command %q; see %s --help", args, cmd.Root().Name())}
			}
			about.SetOut(cmd.OutOrStdout())
			return about.Help()
		},
	}
}
