package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/policy"
)

func (a *app) approveCommand() *cobra.Command {
	var f wordFlags
	var bundle string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Agree, with one's SSH key, that a request is signed",
		Long: `Shows what would be signed, asks, and signs it with an SSH key: the one in the
ssh-agent, or that of --key. A FIDO2 key wants to be touched.

In two steps, with nothing but ssh-keygen:

  $ bundlesign approve ID --print statement
  $ ssh-keygen -Y sign -f KEY -n ` + policy.ApprovalNamespace + ` statement
  $ bundlesign approve ID --sshsig statement.sig`,
		Args: arguments("ID"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			var checks []func(*wire.Signature) error
			if bundle != "" {
				mine, err := a.rebuild(cmd.Context(), bundle)
				if err != nil {
					return err
				}
				checks = append(checks, client.CheckFiles, func(sig *wire.Signature) error { return mine.check(a, sig) })
			}
			return a.give(cmd, &f, &word{
				namespace: policy.ApprovalNamespace, question: "Approve it?", again: "bundlesign approve " + shellWord(args[0]),
				text: a.statementOf(args[0], checks...),
				send: func(ctx context.Context, c *client.Client, sshsig string) error {
					sig, err := c.Approve(ctx, args[0], sshsig)
					if err != nil {
						return err
					}
					return a.showWord(sig, approvedBy(sig, sshsig), asJSON)
				},
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&bundle, "bundle", "", bundleUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("bundle", "sshsig")
	return cmd
}

func (a *app) rejectCommand() *cobra.Command {
	var f wordFlags
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reject ID --reason TEXT",
		Short: "End a pending request for good, with one's SSH key",
		Long: `Whoever could approve a request can reject it, with a signature over the same
statement for another purpose. It then never is signed; the same bundle can be
submitted again.`,
		Args: arguments("ID"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.give(cmd, &f, &word{
				namespace: policy.RejectionNamespace, question: "Reject it?",
				again: "bundlesign reject " + shellWord(args[0]) + " --reason " + shellWord(reason),
				text:  a.statementOf(args[0]),
				send: func(ctx context.Context, c *client.Client, sshsig string) error {
					sig, err := c.Reject(ctx, args[0], sshsig, reason)
					if err != nil {
						return err
					}
					return a.showWord(sig, "rejected "+sig.ID, asJSON)
				},
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, for the requester and the log; one line")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("reason") // fails only for a flag that is not there
	return cmd
}

// statementOf gets the statement of a request that passes the checks, and says who
// has agreed so far.
func (a *app) statementOf(id string, checks ...func(*wire.Signature) error) func(context.Context, *client.Client) (string, error) {
	return func(ctx context.Context, c *client.Client) (string, error) {
		sig, err := c.Signature(ctx, id)
		if err != nil {
			return "", err
		}
		text, err := client.CheckStatement(sig)
		if err != nil {
			return "", notPending(sig, err)
		}
		for _, check := range checks {
			if err := check(sig); err != nil {
				return "", err
			}
		}
		a.sayAgreed(sig)
		return text, nil
	}
}

// sayAgreed says who has agreed to a request, and who still has to.
func (a *app) sayAgreed(sig *wire.Signature) {
	for _, agreed := range sig.Approvals {
		a.say("%s has approved it with %s", agreed.Person, agreed.Key)
	}
	if waits := client.WaitsFor(sig.Missing); waits != "" {
		a.say("it waits for %s", waits)
	}
	if sig.Note != "" {
		a.say("note: %s", sig.Note)
	}
}

// notPending makes the user's mistake of what is no lie of the daemon's.
func notPending(sig *wire.Signature, err error) error {
	if sig.State == client.StatePending {
		return err
	}
	return &inputError{err: err, hint: "bundlesign show " + sig.ID + " tells what became of it"}
}

// approvedBy says for whom a signature counted.
func approvedBy(sig *wire.Signature, sshsig string) string {
	for _, agreed := range sig.Approvals {
		if strings.TrimSpace(agreed.SSHSig) == strings.TrimSpace(sshsig) {
			return "approved " + sig.ID + " as " + agreed.Person
		}
	}
	return "approved " + sig.ID
}

// showWord prints what came of a word.
func (a *app) showWord(sig *wire.Signature, what string, asJSON bool) error {
	if asJSON {
		return a.printJSON(sig)
	}
	text := what + "; it is " + sig.State
	if waits := client.WaitsFor(sig.Missing); waits != "" {
		text = what + "; it still waits for " + waits
	}
	if sig.Note != "" {
		text += "; " + sig.Note
	}
	return a.print(printableLine(text))
}
