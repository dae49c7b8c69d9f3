package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

func (a *app) logCommand() *cobra.Command {
	var last int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show the newest entries of the audit log",
		Long: `Shows the newest entries of the audit log, the oldest of them first. They are
shown as the daemon gives them; "bundlesign log verify" checks them.`,
		Args: cobra.NoArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			if last < 1 {
				return &inputError{err: fmt.Errorf("--last: found %d, want at least 1", last)}
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				first, entries, err := newest(ctx, c, last)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printEntries(first, entries)
				}
				return a.print(entryTable(first, entries))
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().Int64Var(&last, "last", 20, "how many entries to show")
	cmd.AddCommand(a.logCheckpointCommand(), a.logEntryCommand(), a.logExportCommand(), a.logVerifyCommand())
	return cmd
}

// newest returns the last n entries and the index of the first of them.
func newest(ctx context.Context, c *client.Client, n int64) (first int64, entries [][]byte, err error) {
	msg, err := c.Checkpoint(ctx)
	if err != nil {
		return 0, nil, err
	}
	_, tree, err := audit.ReadCheckpoint(msg)
	if err != nil {
		return 0, nil, &client.UntrustedError{Part: "log", Err: err}
	}
	first = max(0, tree.N-n)
	for from := first; from < tree.N; from += client.MaxEntries {
		page, err := c.LogEntries(ctx, from, min(from+client.MaxEntries, tree.N))
		if err != nil {
			return 0, nil, err
		}
		entries = append(entries, page...)
	}
	return first, entries, nil
}

func (a *app) printEntries(first int64, entries [][]byte) error {
	type line struct {
		Index int64           `json:"index"`
		Entry json.RawMessage `json:"entry"`
	}
	out := struct {
		Entries []line `json:"entries"`
	}{Entries: []line{}}
	for i, e := range entries {
		if !json.Valid(e) {
			return &client.UntrustedError{Part: "log", Err: fmt.Errorf("entry %d is not JSON", first+int64(i))}
		}
		out.Entries = append(out.Entries, line{first + int64(i), e})
	}
	return a.printJSON(out)
}

func entryTable(first int64, entries [][]byte) string {
	var t table
	t.Row("INDEX", "TIME", "WHAT", "REQUEST", "APP", "VERSION", "CHANNEL", "WHO OR WHY")
	for i, e := range entries {
		index := strconv.FormatInt(first+int64(i), 10)
		leaf, err := audit.DecodeLeaf(e)
		if err != nil {
			t.Row(index, "-", "unreadable", "-", "-", "-", "-", err.Error())
			continue
		}
		t.Row(index, stamp(leaf.Time), string(leaf.Type), orDash(leaf.Request), orDash(leaf.AppID),
			orDash(leaf.Release), orDash(leaf.Channel), orDash(whoOrWhy(leaf)))
	}
	return t.String()
}

// whoOrWhy is the most telling fact of an entry that its columns lack.
func whoOrWhy(l *audit.Leaf) string {
	switch {
	case l.Daemon != "":
		return "bundlesignd " + l.Daemon
	case l.Operation != nil:
		return whatWasDone(l)
	case l.Reason != "":
		return l.Reason
	case l.Requester != nil && l.Decision != nil:
		return l.Requester.String() + ": " + l.Decision.Reason
	case l.Requester != nil:
		return l.Requester.String()
	case len(l.Also) > 0:
		return "keys " + strings.Join(keyNames(l), ", ")
	case l.Key != "":
		return "key " + l.Key
	}
	return ""
}

// keyNames are those of all keys of a request.
func keyNames(l *audit.Leaf) []string {
	names := []string{orDash(l.Key)}
	for _, k := range l.Also {
		names = append(names, k.Key)
	}
	return names
}

// whatWasDone says what an operator did to a key.
func whatWasDone(l *audit.Leaf) string {
	text := fmt.Sprintf("%s %s: key %s", l.Operation.Action, l.Operation.Phase, l.Key)
	if l.Requester != nil {
		text += ", by " + l.Requester.String()
	}
	if l.Reason != "" {
		text += ": " + l.Reason
	}
	return text
}

func (a *app) logCheckpointCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest checkpoint (C2SP tlog-checkpoint)",
		Args:  arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				msg, err := c.Checkpoint(ctx)
				if err != nil {
					return err
				}
				if _, _, err := audit.ReadCheckpoint(msg); err != nil {
					return &client.UntrustedError{Part: "log", Err: err}
				}
				return a.print(string(msg))
			})
		}),
	}
}

func (a *app) logEntryCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "entry INDEX",
		Short: "Print one entry, which is a line of JSON; with --json, also its proof",
		Args:  arguments("INDEX"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			index, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || index < 0 {
				return &inputError{err: fmt.Errorf("found index %q, want a number from 0", args[0])}
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				entry, err := c.LogEntry(ctx, index)
				if err != nil {
					return err
				}
				receipt, err := client.ParseReceipt(&entry.Receipt)
				if err == nil {
					_, err = client.VerifyReceipt(receipt, nil)
				}
				if err != nil {
					return &client.UntrustedError{Part: "log", Err: err}
				}
				if asJSON {
					return a.printJSON(entry)
				}
				return a.print(show.Printable(entry.Entry) + "\n")
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
