package main

import (
	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/client"
)

// dialStdioCommand is what the client of another machine runs here, over ssh. It
// prints no result: stdout is the daemon's side of the connection.
func (a *app) dialStdioCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "dial-stdio",
		Short:  "Connect stdin and stdout with the socket of bundlesignd",
		Hidden: true, // nobody types it
		Long: `Connects stdin and stdout with the socket of bundlesignd on this machine, until
either side ends the connection. This is what a bundlesign on another machine, whose
socket is ssh://[USER@]HOST, runs here.

A key that may do this and nothing else has such a line in ~/.ssh/authorized_keys:

  restrict,command="bundlesign dial-stdio" ssh-ed25519 AAAA... ci@example.com

If there is no daemon, the exit code is 5, and stderr has the reason for the other
side in a line of its own.`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return client.DialStdio(cmd.Context(), a.socket, a.stdin, a.stdout, a.stderr)
		}),
	}
}
