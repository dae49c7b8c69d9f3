package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bundlesign/bundlesign/client"
)

// briefly is how long a command may take that only asks something.
const briefly = 30 * time.Second

// app is what every command has of the world outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	socket     string // --socket
	profile    string // --profile
	project    *projectSettings
	began      bool // the command line was understood
	lastNotice string
	line       *progress // nil: none
	unhook     func()    // has the next signal end the process
}

// run is the program. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a.unhook = stop

	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.began {
		err = &usageError{err: err, command: cmd.CommandPath()}
	}
	// Also where the flags could not be parsed.
	asJSON := slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
	return a.finish(err, asJSON)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bundlesign",
		Short: "Have live-update bundles signed by bundlesignd, and verify them",
		Long: `bundlesign has live-update bundles of Capgo/Capacitor apps signed by bundlesignd,
encrypts them, verifies them as a phone does, and checks the audit log.

  $ bundlesign sign app.zip --app com.acme.shop --channel production --version 1.4.0
  $ bundlesign verify app.zip_encrypted.zip --result result.json --public-key public.pem

Results go to stdout, everything else to stderr.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		// Without a command there is nothing to do: that is a mistake in a script.
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("found no command") },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "socket of bundlesignd (env BUNDLESIGN_SOCKET, default "+client.DefaultSocket+")")
	root.PersistentFlags().StringVar(&a.profile, "profile", "", "`name` of the profile of bundlesign.yaml (env BUNDLESIGN_PROFILE, default: the file's own)")
	root.AddCommand(
		ofProject(a.signCommand()), ofProject(a.verifyCommand()), ofProject(a.keysCommand()),
		ofProject(a.requestsCommand()), ofProject(a.showCommand()), ofProject(a.cancelCommand()),
		a.approveCommand(), a.rejectCommand(),
		a.freezeCommand(), a.freezesCommand(), a.thawCommand(), ofProject(a.statusCommand()), a.logCommand(), a.versionCommand(), exitCodesTopic(),
	)
	root.AddCommand(a.reviewCommand(), a.dialStdioCommand(), a.completionCommand(), a.manCommand())
	a.complete(root)
	root.AddCommand(a.packCommand())
	root.AddCommand(mark(a.doctorCommand(), readsProject))
	root.AddCommand(ofProject(a.publishCommand()))
	return root
}

// runE is a command once cobra has accepted its arguments and flags: errors from
// there on are not about usage, unless they say so.
func (a *app) runE(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.began = true
		if err := noneEmpty(cmd); err != nil {
			return err
		}
		if err := a.chooseSocket(cmd); err != nil {
			return err
		}
		return f(cmd, args)
	}
}

// noneEmpty refuses a flag whose value is empty, as a variable that is not set
// makes it in a script: a check that was asked for must not silently be left out.
func noneEmpty(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = &usageError{err: fmt.Errorf("--%s: found nothing; is a variable not set?", f.Name), command: cmd.CommandPath()}
		}
	})
	return err
}

// client returns a client that tells the user why something takes long.
func (a *app) client(more ...client.Option) *client.Client {
	options := []client.Option{client.WithUserAgent("bundlesign/" + version()), client.WithObserver(a.notice)}
	return client.New(a.socket, append(options, more...)...)
}

// ask calls f with a client and as much time as a question may take.
func (a *app) ask(cmd *cobra.Command, f func(context.Context, *client.Client) error, opts ...client.Option) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), briefly)
	defer cancel()
	c := a.client(opts...)
	defer c.Close()
	return f(ctx, c)
}

// arguments accepts as many arguments as names has words, or fewer by the number
// of words in brackets, and says what is wanted instead of only how many.
func arguments(names string) cobra.PositionalArgs {
	most := len(strings.Fields(names))
	least := most - strings.Count(names, "[")
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > most && most == 0 {
			return fmt.Errorf("found %q, want no arguments", args[0])
		}
		if len(args) < least || len(args) > most {
			return fmt.Errorf("found %d arguments, want %s", len(args), names)
		}
		return nil
	}
}
