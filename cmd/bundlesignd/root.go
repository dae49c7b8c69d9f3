package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends"
)

// Exit codes, beside those of an error that has its own (ExitCode() int).
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
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
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) {
		fmt.Fprintf(stderr, "bundlesignd: %v\n", err)
		return exitError
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintf(stderr, "bundlesignd: %s\n", msg)
	}
	return coded.ExitCode()
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "bundlesignd",
		Short:         "Sign Capgo and Capacitor live updates with a key that stays in its HSM",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newServeCommand(),
		newInitCommand(),
		newConfigCommand(backends.CheckURI),
		newQuarantineCommand(),
		newModuleCommand(),
	)
	return root
}

// usageError is a command line that could not be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// ExitCode implements the interface that run looks for.
func (e *usageError) ExitCode() int { return exitUsage }

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
