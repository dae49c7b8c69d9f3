package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
)

// maxPage is how many requests the daemon lists at once.
const maxPage = 1000

func (a *app) requestsCommand() *cobra.Command {
	var f client.ListFilter
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "requests",
		Short: "List requests, the newest first",
		Long: `Lists requests, the newest first. With --watch it lists those that are pending or
being signed, and then tells in a line what changes, and who still has to approve,
until it is interrupted.`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 1 {
				return &inputError{err: fmt.Errorf("--limit: found %d, want at least 1", f.Limit)}
			}
			if watch {
				return a.watch(cmd.Context(), f.AppID, asJSON)
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				list, err := listRequests(ctx, c, f)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(&wire.SignatureList{Signatures: list})
				}
				return a.print(requestTable(list))
			})
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.State, "state", "", "only those in this `state`: pending, authorized, signed, denied, rejected, expired, cancelled or failed")
	fl.StringVar(&f.AppID, "app", "", "only those for this app `id`")
	fl.IntVar(&f.Limit, "limit", 20, "at most this many")
	fl.BoolVar(&watch, "watch", false, "go on, and tell what changes")
	fl.BoolVar(&asJSON, "json", false, "print JSON; with --watch, one document in a line for each change")
	cmd.MarkFlagsMutuallyExclusive("watch", "state")
	cmd.MarkFlagsMutuallyExclusive("watch", "limit")
	return cmd
}

// listRequests goes through as many pages as it takes.
func listRequests(ctx context.Context, c *client.Client, f client.ListFilter) ([]wire.Signature, error) {
	out := []wire.Signature{}
	for want := f.Limit; want > 0; want = f.Limit - len(out) {
		page := f
		page.Limit = min(want, maxPage)
		list, err := c.Signatures(ctx, page)
		if err != nil {
			return nil, err
		}
		out = append(out, list.Signatures...)
		if list.Next == 0 || len(list.Signatures) == 0 {
			break
		}
		f.Before = list.Next
	}
	return out, nil
}

func requestTable(list []wire.Signature) string {
	var t table
	t.Row("ID", "STATE", "APP", "VERSION", "CHANNEL", "REQUESTER", "SUBMITTED", "WAITS FOR")
	for _, s := range list {
		t.Row(s.ID, s.State, s.AppID, s.Version, s.Channel, requester(s.Requester), stamp(s.SubmittedAt), client.WaitsFor(s.Missing))
	}
	return t.String()
}

// requester names one in a table: a token says more than the user that a runner has.
func requester(r wire.Requester) string {
	if r.Token != nil {
		return r.Token.Issuer + ":" + r.Token.Subject
	}
	if r.User == "" {
		return fmt.Sprintf("uid %d", r.UID)
	}
	return r.User
}

func (a *app) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one request",
		Args:  arguments("ID"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				sig, err := c.Signature(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(sig)
				}
				return a.print(describeRequest(sig))
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func describeRequest(s *wire.Signature) string {
	var t table
	t.Row("request", s.ID)
	t.Row("state", s.State)
	t.Row("reason", orDash(s.Reason))
	if s.BreakGlass != "" {
		t.Row("EMERGENCY", s.BreakGlass)
	}
	if s.Note != "" {
		t.Row("note", s.Note)
	}
	t.Row("app", s.AppID)
	t.Row("channel", s.Channel)
	t.Row("version", s.Version)
	t.Row("digest", s.Digest)
	t.Row("checksum format", s.ChecksumFormat)
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		t.Row("label "+k, s.Labels[k])
	}
	if len(s.Files) > 0 {
		t.Row("files", fmt.Sprint(len(s.Files)))
	}
	if p := s.Progress; p != nil {
		t.Row("signed so far", fmt.Sprintf("%d of %d signatures", p.Signed, p.Total))
	}
	t.Row("requester", fmt.Sprintf("%s (uid %d)", orDash(s.Requester.User), s.Requester.UID))
	if s.Requester.Unit != "" {
		t.Row("unit", s.Requester.Unit)
	}
	if s.Requester.Token != nil {
		t.Row("token", s.Requester.Token.Issuer+": "+s.Requester.Token.Subject)
	}
	t.Row("rule", orDash(s.Rule))
	t.Row("policy", s.PolicyHash)
	t.Row("submitted", stamp(s.SubmittedAt))
	describeApprovals(&t, s)
	t.Row("updated", stamp(s.UpdatedAt))
	if s.Key != "" {
		t.Row("key", s.Key+", "+s.KeyID)
	}
	if s.Custody != nil {
		t.Row("custody", fmt.Sprintf("%s (%s)", s.Custody.Level, s.Custody.Backend))
	}
	for _, k := range s.Also {
		t.Row("also key", furtherKey(k))
	}
	if s.Log != nil {
		t.Row("log", fmt.Sprintf("entry %d", s.Log.Index))
	}
	if s.State == client.StatePending && s.Statement != "" {
		return t.String() + "\nstatement:\n" + framed(s.Statement, defaultWidth)
	}
	if s.State != client.StateSigned {
		return t.String()
	}
	return t.String() + updateAnswers(s)
}

// furtherKey describes a further key of a request.
func furtherKey(k wire.KeyResult) string {
	text := fmt.Sprintf("%s, %s, checksum format %s", k.Key, orDash(k.KeyID), k.ChecksumFormat)
	if k.Custody != nil {
		text += fmt.Sprintf(", custody %s (%s)", k.Custody.Level, k.Custody.Backend)
	}
	return text
}

// updateAnswers are the members of the update answer that signing gives, for each
// key: which one an update server sends depends on the key that the app carries.
func updateAnswers(s *wire.Signature) string {
	const heading = "\nfor the update server"
	if len(s.Also) == 0 {
		return heading + ":\n" + updateAnswer(s.Version, s.Checksum, orDash(s.SessionKey))
	}
	of := func(key, keyID string) string {
		return printableLine(fmt.Sprintf("%s, to apps that carry key %s (%s):", heading[1:], key, keyID))
	}
	text := "\n" + of(s.Key, s.KeyID) + updateAnswer(s.Version, s.Checksum, orDash(s.SessionKey))
	for _, k := range s.Also {
		text += "\n" + of(k.Key, k.KeyID) + updateAnswer(s.Version, k.Checksum, orDash(k.SessionKey))
	}
	return text
}

// describeApprovals shows who agreed, who did not, and who still has to.
func describeApprovals(t *table, s *wire.Signature) {
	for _, by := range s.Approvals {
		t.Row("approved by", describeApproval(by))
	}
	if s.Rejection != nil {
		t.Row("rejected by", describeApproval(*s.Rejection))
	}
	if waits := client.WaitsFor(s.Missing); waits != "" {
		t.Row("waits for", waits)
	}
	if s.ExpiresAt != nil {
		t.Row("expires", stamp(*s.ExpiresAt))
	}
}

func describeApproval(by wire.Approval) string {
	text := fmt.Sprintf("%s, %s, with %s", by.Person, stamp(by.Time), by.Key)
	if by.UserVerified {
		text += ", which verified its user"
	}
	return text
}

func (a *app) cancelCommand() *cobra.Command {
	var asJSON bool
	var job tokenFlags
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Take back a pending request of one's own",
		Args:  arguments("ID"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			token, err := a.token(job.file)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				sig, err := c.Cancel(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(sig)
				}
				return a.print(printableLine(fmt.Sprintf("request %s is %s", sig.ID, sig.State)))
			}, client.WithToken(token))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	job.add(cmd)
	return cmd
}
