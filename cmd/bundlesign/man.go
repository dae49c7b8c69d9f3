package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/cmd/internal/manpage"
)

// manCommand writes the manual pages. It is for those who make packages: make man.
func (a *app) manCommand() *cobra.Command {
	return manpage.Undocumented(&cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a folder",
		Hidden: true,
		Args:   arguments("DIR"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			names, err := manual().Write(args[0], cmd.Root())
			if err != nil {
				return &inputError{err: err}
			}
			return a.print(strings.Join(names, "\n") + "\n")
		}),
	})
}

// manual is what every page of this program says.
func manual() *manpage.Manual {
	_, codes, _ := strings.Cut(exitCodesTopic().Long, "\n")
	return &manpage.Manual{
		Section: "1",
		Title:   "bundlesign manual",
		Sections: []manpage.Section{
			{Name: "EXIT STATUS", Text: codes},
			{Name: "ENVIRONMENT", Text: `BUNDLESIGN_SOCKET stands for --socket, and BUNDLESIGN_PROFILE for --profile. The
commands of a project take the others of their flags from variables of the same kind,
such as BUNDLESIGN_CHANNEL for --channel, before they look into bundlesign.yaml.

BUNDLESIGN_ID_TOKEN is the OIDC ID token of a CI job.

SSH_AUTH_SOCK is the socket of the ssh-agent with which people sign.`},
			{Name: "FILES", Text: `  bundlesign.yaml                         the settings of a project
  /run/bundlesignd/bundlesignd.sock       the socket of the daemon
  ~/.ssh/config, ~/.ssh/known_hosts       of ssh, if the socket is ssh://[USER@]HOST`},
		},
		SeeAlso: []string{"bundlesignd(8)", "ssh(1)", "ssh-keygen(1)", "ssh-agent(1)"},
	}
}
