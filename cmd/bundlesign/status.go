package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the daemon and its parts are well",
		Long: `Shows the health of the daemon part by part. The exit code is 0 if all is well and
5 if the daemon is degraded or does not answer. --wait is for a daemon that
is starting: it waits until all is well.`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			status, err := a.askStatus(cmd.Context(), wait)
			if err != nil {
				return err
			}
			if err := a.printStatus(status, asJSON); err != nil {
				return err
			}
			return health(status)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for the daemon to be well")
	return cmd
}

func (a *app) askStatus(ctx context.Context, wait time.Duration) (*wire.Status, error) {
	c := a.client()
	defer c.Close()
	if wait <= 0 {
		ctx, cancel := context.WithTimeout(ctx, briefly)
		defer cancel()
		return c.Status(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return c.WaitReady(ctx)
}

func (a *app) printStatus(s *wire.Status, asJSON bool) error {
	if asJSON {
		return a.printJSON(s)
	}
	var t table
	t.Row("state", s.State)
	t.Row("version", s.Version)
	t.Row("pid", fmt.Sprint(s.PID))
	t.Row("started", stamp(s.StartedAt))
	t.Row("policy", s.Policy)
	t.Row("log", fmt.Sprintf("%d entries", s.LogSize))
	t.Row("log key", s.LogKey)
	var parts table
	for _, p := range s.Parts {
		parts.Row(p.Name, p.State, p.Detail)
	}
	return a.print(t.String() + "\n" + parts.String())
}

// health is the error that makes a monitor look.
func health(s *wire.Status) error {
	if s.State == "ok" {
		return nil
	}
	var bad []string
	for _, p := range s.Parts {
		if p.State != "ok" {
			bad = append(bad, strings.TrimSuffix(p.Name+": "+p.State+": "+p.Detail, ": "))
		}
	}
	if len(bad) == 0 {
		bad = []string{"it says " + s.State}
	}
	return &degradedError{strings.Join(bad, "; ")}
}
