package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/cmd/internal/manpage"
)

// newManCommand writes the manual pages. It is for those who make packages: make man.
func newManCommand() *cobra.Command {
	return manpage.Undocumented(&cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			manpage.Undocumented(childOf(cmd.Root()))
			names, err := manual().Write(args[0], cmd.Root())
			if err != nil {
				return err
			}
			cmd.Println(strings.Join(names, "\n"))
			return nil
		},
	})
}

// childOf finds the command that only the daemon itself runs.
func childOf(root *cobra.Command) *cobra.Command {
	child, _, err := root.Find([]string{childCommand})
	if err != nil {
		panic("bundlesignd has no command " + childCommand)
	}
	return child
}

// manual is what every page of this program says.
func manual() *manpage.Manual {
	return &manpage.Manual{
		Section: "8",
		Title:   "bundlesignd manual",
		Sections: []manpage.Section{
			{Name: "EXIT STATUS", Text: `  0  it worked
  1  it did not work
  2  the command line, the configuration or another file that it names cannot be right

A command that checks something may have further codes; its description says so.`},
			{Name: "ENVIRONMENT", Text: `CREDENTIALS_DIRECTORY and LISTEN_FDS come from systemd: its credentials, and the
socket that it passes.`},
			{Name: "FILES", Text: `  /etc/bundlesignd/config.yaml            the configuration; every field is explained in it
  /run/bundlesignd/bundlesignd.sock       the socket
  /var/lib/bundlesignd/                   the state`},
		},
		SeeAlso: []string{"bundlesign(1)", "systemd(1)"},
	}
}
