package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/policy"
)

func (a *app) freezeCommand() *cobra.Command {
	var f wire.NewFreeze
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "freeze (--app ID | --key NAME | --all) --reason TEXT",
		Short: "Stop signing at once, until it is lifted",
		Long: `Nothing is signed for the app, with the key, or at all, until the freeze is
lifted (bundlesign thaw). For root, the user as whom the daemon runs, and whom the
policy lets. It does not ask: it is quicker to lift a freeze than to take back a
release.`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				made, err := c.Freeze(ctx, f)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(made)
				}
				return a.print(printableLine(fmt.Sprintf("freeze %s: %s is frozen; to lift it: bundlesign thaw %s", made.ID, frozen(made), made.ID)))
			})
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.AppID, "app", "", "freeze the app with this `id`")
	fl.StringVar(&f.Key, "key", "", "freeze the key of this `name`")
	fl.BoolVar(&f.All, "all", false, "freeze everything")
	fl.StringVar(&f.Reason, "reason", "", "`text` that says why, for everybody who is stopped by it, and for the log; one line")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("reason") // fails only for a flag that is not there
	cmd.MarkFlagsOneRequired("app", "key", "all")
	cmd.MarkFlagsMutuallyExclusive("app", "key", "all")
	return cmd
}

// frozen says what a freeze stops.
func frozen(f *wire.Freeze) string {
	switch {
	case f.All:
		return "everything"
	case f.AppID != "":
		return "app " + f.AppID
	}
	return "key " + f.Key
}

func (a *app) freezesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "freezes",
		Short: "List what is frozen, why, and who has to agree that it is lifted",
		Args:  arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				list, err := c.Freezes(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					if list == nil {
						list = []wire.Freeze{}
					}
					return a.printJSON(&wire.FreezeList{Freezes: list})
				}
				var t table
				t.Row("ID", "FROZEN", "SINCE", "BY", "REASON", "TO LIFT IT")
				for i := range list {
					f := &list[i]
					t.Row(f.ID, frozen(f), stamp(f.At), requester(f.By), f.Reason, thawWaitsFor(f))
				}
				return a.print(t.String())
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func thawWaitsFor(f *wire.Freeze) string {
	if waits := client.WaitsFor(f.Missing); waits != "" {
		return waits
	}
	return "an operator"
}

func (a *app) thawCommand() *cobra.Command {
	var f wordFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "thaw ID",
		Short: "Agree, with one's SSH key, that a freeze is lifted",
		Long: `Shows what is frozen and why, asks, and signs that it may be lifted, as bundlesign
approve signs. If the policy wants nobody's agreement, root or the user as whom the
daemon runs lifts a freeze alone, without a signature.`,
		Args: arguments("ID"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			show := func(made *wire.Freeze) error { return a.showThaw(made, asJSON) }
			lifted, err := a.thawAsOperator(cmd, args[0], &f, show)
			if lifted || err != nil {
				return err
			}
			return a.give(cmd, &f, &word{
				namespace: policy.ThawNamespace, question: "Agree to lift it?", again: "bundlesign thaw " + shellWord(args[0]),
				text: func(ctx context.Context, c *client.Client) (string, error) {
					freeze, err := findFreeze(ctx, c, args[0])
					if err != nil {
						return "", err
					}
					a.say("to be lifted it waits for %s", thawWaitsFor(freeze))
					return client.CheckThaw(freeze)
				},
				send: func(ctx context.Context, c *client.Client, sshsig string) error {
					made, err := c.Thaw(ctx, args[0], sshsig)
					if err != nil {
						return err
					}
					return show(made)
				},
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// thawAsOperator lifts a freeze that needs nobody's signature, and says whether it
// was one. Whether the user is an operator is for the daemon to say.
func (a *app) thawAsOperator(cmd *cobra.Command, id string, f *wordFlags, show func(*wire.Freeze) error) (done bool, err error) {
	if f.sshsig != "" || f.print != "" {
		return false, nil
	}
	err = a.ask(cmd, func(ctx context.Context, c *client.Client) error {
		freeze, err := findFreeze(ctx, c, id)
		if err != nil || len(freeze.Missing) > 0 {
			return err
		}
		done = true
		text, err := client.CheckThaw(freeze)
		if err != nil {
			return err
		}
		fmt.Fprint(a.stderr, framed(text, width(a.stderr)))
		if err := a.confirm(cmd.Context(), "Lift it, as an operator?", f.yes); err != nil {
			return err
		}
		made, err := c.Thaw(cmd.Context(), id, "")
		if err != nil {
			return err
		}
		return show(made)
	})
	return done, err
}

func findFreeze(ctx context.Context, c *client.Client, id string) (*wire.Freeze, error) {
	list, err := c.Freezes(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == id {
			return &list[i], nil
		}
	}
	return nil, &inputError{err: errors.New("no freeze " + id + " is in force"), hint: "bundlesign freezes lists those that are"}
}

func (a *app) showThaw(f *wire.Freeze, asJSON bool) error {
	switch {
	case asJSON:
		return a.printJSON(f)
	case f.Lifted:
		return a.print(printableLine(fmt.Sprintf("freeze %s is lifted: %s may be signed again", f.ID, frozen(f))))
	}
	return a.print(printableLine(fmt.Sprintf("agreed to lift freeze %s; it still waits for %s", f.ID, thawWaitsFor(f))))
}
