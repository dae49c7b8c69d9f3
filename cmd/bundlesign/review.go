package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
)

func (a *app) reviewCommand() *cobra.Command {
	var f penFlags
	var only, appID, bundle, logKey string
	cmd := &cobra.Command{
		Use:   "review",
		Short: "Go through what waits for approval, in a terminal",
		Long: `Shows each request that waits, the oldest first: the statement that approvers sign,
and which files changed since the last release of the same app and channel. Then it
asks whether to approve or to reject it, or to go on. What arrives meanwhile is shown,
too. Nothing is approved unasked.

With --bundle it says whether a request is about what you have built yourself, file by
file, and approves nothing else:

  $ git checkout v1.4.0 && npm ci && npm run build
  $ bundlesign review --bundle dist/`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			verifier, err := parseLogKey(logKey)
			if err != nil {
				return err
			}
			d, err := a.desk()
			if err != nil {
				return err
			}
			pen, err := a.pen(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer pen.close()
			r := &reviewer{app: a, desk: d, pen: pen, logKey: verifier, appID: appID, only: only, done: make(map[string]bool)}
			if bundle != "" {
				if r.mine, err = a.rebuild(cmd.Context(), bundle); err != nil {
					return err
				}
			}
			r.client = a.client()
			defer r.client.Close()
			return r.run(cmd.Context())
		}),
	}
	fl := cmd.Flags()
	f.add(cmd)
	fl.StringVar(&appID, "app", "", "only requests for this app `id`")
	fl.StringVar(&only, "once", "", "only the request with this `id`")
	fl.StringVar(&bundle, "bundle", "", bundleUsage)
	fl.StringVar(&logKey, "log-key", "", logKeyUsage)
	cmd.MarkFlagsMutuallyExclusive("app", "once")
	return cmd
}

// reviewer goes through requests with a person.
type reviewer struct {
	app    *app
	desk   *desk
	client *client.Client
	pen    *pen
	logKey note.Verifier // nil: not known
	mine   *rebuilt      // nil: the person has built nothing
	appID  string        // only requests for this app, or ""
	only   string        // only this request, or ""

	reached                     bool            // the daemon has answered
	done                        map[string]bool // by id: what needs no more of this person
	approved, rejected, skipped int
}

// errQuit is the person who has had enough.
var errQuit = errors.New("quit")

func (r *reviewer) run(ctx context.Context) error {
	r.app.say("signing with %s", r.pen.name)
	for {
		id, more, err := r.next(ctx)
		if err == nil && id == "" {
			return r.end("nothing more waits for you")
		}
		if err == nil {
			if more > 0 {
				r.app.say("%d more wait after this one", more)
			}
			err = r.one(ctx, id)
			r.done[id] = true
		}
		var gone *client.UnreachableError
		switch {
		case errors.Is(err, errQuit), errors.Is(err, errHungUp) && ctx.Err() == nil:
			return r.end("ended")
		case errors.As(err, &gone) && ctx.Err() == nil && r.reached:
			// It may be starting again.
			delete(r.done, id)
			if err := r.again(ctx, err); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
}

// next returns the oldest request that waits and was not looked at yet, and how
// many there are besides it.
func (r *reviewer) next(ctx context.Context) (id string, more int, err error) {
	if r.only != "" {
		if r.done[r.only] {
			return "", 0, nil
		}
		return r.only, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	list, err := listRequests(ctx, r.client, client.ListFilter{State: client.StatePending, AppID: r.appID, Limit: maxPage})
	if err != nil {
		return "", 0, err
	}
	list = slices.DeleteFunc(list, func(s wire.Signature) bool { return r.done[s.ID] })
	if len(list) == 0 {
		return "", 0, nil
	}
	return list[len(list)-1].ID, len(list) - 1, nil
}

// again asks whether to go on with a daemon that is gone.
func (r *reviewer) again(ctx context.Context, why error) error {
	r.complain(why)
	answer, err := r.desk.ask(ctx, "Enter tries again, q ends:", maxTyped)
	if err == nil && (answer == "q" || answer == "quit") || errors.Is(err, errHungUp) {
		return why
	}
	return err
}

// complain says what went wrong, and what can be tried.
func (r *reviewer) complain(err error) {
	r.app.say("%v", err)
	if help := hint(err); help != "" {
		r.app.say("hint: %s", help)
	}
}

func (r *reviewer) end(why string) error {
	r.app.say("%s: approved %d, rejected %d, skipped %d", why, r.approved, r.rejected, r.skipped)
	return nil
}

// fetch gets a request as it is now. It returns nil, and has said why, if it needs
// no more of this person.
func (r *reviewer) fetch(ctx context.Context, id string) (*wire.Signature, string, error) {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	sig, err := r.client.Signature(ctx, id)
	if err != nil {
		return nil, "", err
	}
	r.reached = true
	if sig.State != client.StatePending {
		text := fmt.Sprintf("request %s is %s by now", sig.ID, sig.State)
		if sig.Reason != "" {
			text += ": " + sig.Reason
		}
		r.app.say("%s", text)
		return nil, "", nil
	}
	statement, err := client.CheckStatement(sig)
	if err == nil {
		err = client.CheckFiles(sig)
	}
	if err != nil {
		return nil, "", err
	}
	for _, agreed := range sig.Approvals {
		if r.only == "" && agreed.Key == r.pen.fingerprint {
			r.app.say("request %s has your approval, as %s; it waits for %s", sig.ID, agreed.Person, client.WaitsFor(sig.Missing))
			return nil, "", nil
		}
	}
	return sig, statement, nil
}
