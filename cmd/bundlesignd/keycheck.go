package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
)

func newKeyCheckCommand(flags *keyFlags) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "check NAME | --all",
		Short: "Have a key make a test signature, now",
		Long: `Have a key make a test signature now, and say how it went and how long it took: its
public key must be the pin, its custody as demanded, and the signature must verify.
What is signed is a session key that is drawn for it and thrown away.

It exits with 1 if a key is not well. The check is an entry of the transparency log.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all != (len(args) == 0) || len(args) > 1 {
				return fmt.Errorf("found %d names, want one, or --all without any", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return checkKeys(cmd, flags, args) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "check every key of the configuration")
	flags.addYes(cmd)
	flags.addJSON(cmd)
	return cmd
}

// checkReport is what check prints with --json.
type checkReport struct {
	OK     bool            `json:"ok"`
	Checks []wire.KeyCheck `json:"checks"`
}

// checkKeys checks the named keys, or with none all.
func checkKeys(cmd *cobra.Command, flags *keyFlags, names []string) error {
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		for _, k := range cfg.Keys {
			names = append(names, k.Name)
		}
	} else if _, err := configured(cfg, names[0]); err != nil {
		return err
	}
	plan := []string{fmt.Sprintf("A test signature is made with %s: %s.", count(len(names), "key"), strings.Join(names, ", ")), inLog}
	if err := confirm(cmd, flags.yes, plan); err != nil {
		return err
	}
	ctx, end := interruptible(cmd)
	defer end()
	report := checkReport{OK: true, Checks: []wire.KeyCheck{}}
	err = withDesk(ctx, cfg, keyLogger(cmd), func(d desk) error {
		for _, name := range names {
			check, err := checkOne(ctx, d, name)
			if err != nil {
				return err
			}
			report.OK = report.OK && check.OK
			report.Checks = append(report.Checks, *check)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := report.print(cmd, flags.json); err != nil {
		return err
	}
	if !report.OK {
		return errNotWell
	}
	return nil
}

// errNotWell is the outcome of a check that has been printed.
var errNotWell = errors.New("not every key is well")

// checkOne checks a key. One that must not be used at all, which is refused, is
// not well either: the others are checked all the same.
func checkOne(ctx context.Context, d desk, name string) (*wire.KeyCheck, error) {
	check, err := d.check(ctx, name)
	var problem *wire.Problem
	if errors.As(err, &problem) && problem.Type == wire.ProblemKeyUnusable {
		keys, err := d.keys(ctx)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if k.Name == name {
				return &wire.KeyCheck{Key: k}, nil
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return check, nil
}

func (r *checkReport) print(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		return writeJSON(cmd.OutOrStdout(), r)
	}
	var t table
	for _, c := range r.Checks {
		if c.OK {
			t.Row(c.Key.Name, "ok", fmt.Sprintf("%.1f ms", 1000*c.TookSeconds), custodyLevel(&c.Key))
			continue
		}
		t.Row(c.Key.Name, c.Key.State, fmt.Sprintf("%.1f ms", 1000*c.TookSeconds), c.Key.Detail)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), t.String())
	return err
}

func custodyLevel(k *wire.Key) string {
	if k.Custody == nil {
		return "-"
	}
	return k.Custody.Level
}
