package main

import (
	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends/pkcs11/child"
)

// newModuleCommand is the child process of the pkcs11 backend.
func newModuleCommand() *cobra.Command {
	return &cobra.Command{
		Use:    childCommand,
		Short:  "Run a PKCS#11 module for the daemon (started by the daemon itself)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return exitCode(child.Run())
		},
	}
}

// exitCode is an error without a message that only sets the exit code.
type exitCode int

func (exitCode) Error() string { return "" }
