package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// completionTime is how long a completion may ask the daemon.
const completionTime = 2 * time.Second

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: `Prints the script by which a shell completes commands, flags, the ids of requests and
the names of keys. The latter come from the daemon, if it answers at once.

  bash        $ bundlesign completion bash >~/.local/share/bash-completion/completions/bundlesign
  zsh         $ bundlesign completion zsh >~/.zfunc/_bundlesign
              with "fpath+=~/.zfunc; autoload -U compinit; compinit" in ~/.zshrc
  fish        $ bundlesign completion fish >~/.config/fish/completions/bundlesign.fish
  PowerShell  > bundlesign completion powershell | Out-String | Invoke-Expression

bash needs the package bash-completion.`,
		Args:      arguments("SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), &resultWriter{a}
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return &inputError{err: fmt.Errorf("found the shell %q, want bash, zsh, fish or powershell", args[0])}
		}),
	}
}

// resultWriter writes to stdout as [app.print] does.
type resultWriter struct{ a *app }

var _ io.Writer = (*resultWriter)(nil)

func (w *resultWriter) Write(p []byte) (int, error) {
	if err := w.a.print(string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// complete gives every command what completes its arguments and flags. What it does
// not know it leaves to the shell, which completes file names.
func (a *app) complete(cmd *cobra.Command) {
	const pending, any = client.StatePending, ""
	switch cmd.CommandPath() {
	case "bundlesign approve", "bundlesign reject", "bundlesign cancel":
		cmd.ValidArgsFunction = a.requestIDs(pending)
	case "bundlesign show":
		cmd.ValidArgsFunction = a.requestIDs(any)
	case "bundlesign thaw":
		cmd.ValidArgsFunction = a.freezeIDs
	case "bundlesign keys", "bundlesign keys install":
		cmd.ValidArgsFunction = a.keyNames
	case "bundlesign sign", "bundlesign verify", "bundlesign pack", "bundlesign log export", "bundlesign log verify":
		// a file or folder
	default:
		if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	values := map[string][]string{
		"format": {"hex\tof updaters from 5.30.0, 6.30.0, 7.30.0 and 8 on", "legacy\tof updaters before those"},
		"state": {
			client.StatePending, client.StateAuthorized, client.StateSigned, client.StateDenied, client.StateRejected,
			client.StateExpired, client.StateCancelled, client.StateFailed,
		},
	}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		var err error
		name, _ := pflag.UnquoteUsage(f)
		switch {
		case values[f.Name] != nil:
			err = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(asCompletions(values[f.Name]), cobra.ShellCompDirectiveNoFileComp))
		case f.Name == "key" && name == "name":
			err = cmd.RegisterFlagCompletionFunc(f.Name, a.keyNames)
		case f.Name == "once":
			err = cmd.RegisterFlagCompletionFunc(f.Name, a.requestIDs(pending))
		case f.Name == "resume":
			err = cmd.RegisterFlagCompletionFunc(f.Name, a.requestIDs(any))
		case name != "file" && name != "folder" && name != "dir" && f.Value.Type() == "string":
			err = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
		if err != nil {
			panic(fmt.Sprintf("completion of %s --%s: %v", cmd.CommandPath(), f.Name, err)) // only if it is registered twice
		}
	})
	for _, sub := range cmd.Commands() {
		a.complete(sub)
	}
}

func asCompletions(values []string) []cobra.Completion { return values }

// quietly asks the daemon for what completes a word. A person who types gets no
// error message, and does not wait long.
func (a *app) quietly(cmd *cobra.Command, f func(context.Context, *client.Client) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	// The Tab key logs in nowhere, above all not where a file in a repository says.
	if a.chooseSocket(cmd) != nil || strings.Contains(a.socket, "://") {
		return nil, nothing
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	c := client.New(a.socket, client.WithReconnect(0))
	defer c.Close()
	list, err := f(ctx, c)
	if err != nil {
		return nil, nothing
	}
	var safe []cobra.Completion
	for _, c := range list {
		word, about, _ := strings.Cut(c, "\t")
		if completable.MatchString(word) {
			safe = append(safe, word+"\t"+show.Printable(about))
		}
	}
	return safe, nothing | cobra.ShellCompDirectiveKeepOrder
}

// completable is what the shell gets of what the daemon says: it puts the word onto
// the command line as it is, where a person presses Enter.
var completable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$`)

func (a *app) requestIDs(state string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.quietly(cmd, func(ctx context.Context, c *client.Client) (list []cobra.Completion, err error) {
			found, err := c.Signatures(ctx, client.ListFilter{State: state, Limit: 50})
			if err != nil {
				return nil, err
			}
			for _, s := range found.Signatures {
				list = append(list, fmt.Sprintf("%s\t%s %s for %s, %s", s.ID, s.AppID, s.Version, s.Channel, s.State))
			}
			return list, nil
		})
	}
}

func (a *app) freezeIDs(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.quietly(cmd, func(ctx context.Context, c *client.Client) (list []cobra.Completion, err error) {
		found, err := c.Freezes(ctx)
		for _, f := range found {
			list = append(list, f.ID+"\t"+f.Reason)
		}
		return list, err
	})
}

func (a *app) keyNames(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.quietly(cmd, func(ctx context.Context, c *client.Client) (list []cobra.Completion, err error) {
		found, err := c.Keys(ctx)
		for _, k := range found {
			list = append(list, k.Name+"\t"+k.State)
		}
		return list, err
	})
}
