package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends"
)

// childCommand is the hidden command that runs a PKCS#11 module. The daemon
// starts it itself, as its own child.
const childCommand = "pkcs11-module"

// run is main without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	understood := false
	prepare(root, func() { understood = true })
	err := root.ExecuteContext(ctx)
	if err != nil && !understood {
		err = &usageError{err}
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintf(stderr, "bundlesignd: %v\n", err)
	}
	return exitCodeOf(err)
}

// prepare has every command call understood before it does anything, which is
// after cobra has accepted the flags and arguments, and a command that only groups
// others say how it is used: cobra would print that to stdout and call it a
// success, also for a subcommand that is misspelled.
func prepare(cmd *cobra.Command, understood func()) {
	if runE := cmd.RunE; runE != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			understood()
			return runE(cmd, args)
		}
	} else {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = unknownCommand
	}
	for _, sub := range cmd.Commands() {
		prepare(sub, understood)
	}
}

// unknownCommand is what a group of commands does by itself.
func unknownCommand(cmd *cobra.Command, args []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Help(); err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("found no command after %q", cmd.CommandPath())
	}
	return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "bundlesignd",
		Short:         "Sign Capgo and Capacitor live updates with a key that stays in its HSM",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,

		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	root.SetHelpCommand(newHelpCommand())
	root.AddCommand(
		newServeCommand(),
		newInitCommand(),
		newConfigCommand(backends.CheckURI),
		newPolicyCommand(),
		newKeyCommand(),
		newPINCommand(),
		newQuarantineCommand(),
		newClockCommand(),
		newModuleCommand(),
		newManCommand(),
	)
	return root
}

// version is the module version or, in a build from a checkout, its revision.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
