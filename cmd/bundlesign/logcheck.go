package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/logtree"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

func (a *app) logExportCommand() *cobra.Command {
	var logKey string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Copy the log into a folder (C2SP tlog-tiles), or bring a copy up to date",
		Long: `Copies the whole log into DIR, in the layout of C2SP tlog-tiles. Run again, it
fetches what is new, and refuses a log that does not continue the copy. An export
that was interrupted goes on where it stopped.`,
		Args: arguments("DIR"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			verifier, err := parseLogKey(logKey)
			if err != nil {
				return err
			}
			return a.export(cmd.Context(), logtree.Dir(args[0]), verifier, asJSON)
		}),
	}
	cmd.Flags().StringVar(&logKey, "log-key", "", logKeyUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// logSummary is the outcome of log export and log verify with --json.
type logSummary struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"`
	New    *int64 `json:"new,omitempty"`    // entries that an export added
	Signed bool   `json:"signature_ok"`     // the checkpoint's, with --log-key
	Dir    string `json:"dir,omitempty"`    // of an export
	Index  *int64 `json:"index,omitempty"`  // of a receipt
	Source string `json:"source,omitempty"` // what was verified
}

func (a *app) export(ctx context.Context, dir logtree.Dir, verifier note.Verifier, asJSON bool) error {
	var old tlog.Tree
	var oldOrigin string
	msg, err := dir.Checkpoint()
	switch {
	case err == nil:
		if oldOrigin, old, err = openCheckpoint(msg, verifier); err != nil {
			return &verificationError{err: fmt.Errorf("the copy in %s: %w", dir, err)}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	c := a.client()
	defer c.Close()
	if msg, err = c.Checkpoint(ctx); err != nil {
		return err
	}
	origin, tree, err := openCheckpoint(msg, verifier)
	if err != nil {
		return &client.UntrustedError{Part: "log", Err: err}
	}
	if oldOrigin != "" && oldOrigin != origin {
		return &inputError{err: fmt.Errorf("%s is a copy of log %q, the daemon's is %q", dir, oldOrigin, origin), hint: "export to another folder"}
	}
	fresh, err := dir.Export(ctx, msg, tree, old, c.EntryBundle)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(&logSummary{Origin: origin, Size: tree.N, Root: tree.Hash.String(), New: &fresh, Signed: verifier != nil, Dir: string(dir)})
	}
	return a.print(show.Printable(fmt.Sprintf("%s: log %s, %d entries, %d of them new", dir, origin, tree.N, fresh)) + "\n")
}

// openCheckpoint checks a checkpoint with the log's key, if there is one.
func openCheckpoint(msg []byte, verifier note.Verifier) (origin string, tree tlog.Tree, err error) {
	if verifier == nil {
		return audit.ReadCheckpoint(msg)
	}
	tree, err = audit.OpenCheckpoint(msg, verifier)
	return verifier.Name(), tree, err
}

func (a *app) logVerifyCommand() *cobra.Command {
	var logKey, receipt string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [DIR | --receipt FILE] --log-key KEY",
		Short: "Check the log, a copy of it, or a receipt, with the log's public key",
		Long: `Recomputes the Merkle tree from the entries and checks the signed checkpoint: of
the daemon's log, of a copy in DIR that "log export" made, or of the receipt in
what "sign --json" printed. For a copy and a receipt no daemon is needed.`,
		Args: arguments("[DIR]"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			verifier, err := parseLogKey(logKey)
			if err != nil {
				return err
			}
			s := &logSummary{Origin: verifier.Name(), Signed: true}
			switch {
			case receipt != "" && len(args) > 0:
				return &inputError{err: errors.New("found a folder and --receipt, want one of them")}
			case receipt != "":
				err = a.verifyReceipt(receipt, verifier, s)
			case len(args) > 0:
				err = verifyCopy(cmd.Context(), logtree.Dir(args[0]), verifier, s)
			default:
				err = a.verifyDaemon(cmd.Context(), verifier, s)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			what := fmt.Sprintf("%d entries", s.Size)
			if s.Index != nil {
				what = fmt.Sprintf("entry %d is one of %d", *s.Index, s.Size)
			}
			return a.print(show.Printable(fmt.Sprintf("ok: %s: %s, root %s, signed by %s", s.Source, what, s.Root, s.Origin)) + "\n")
		}),
	}
	cmd.Flags().StringVar(&receipt, "receipt", "", "`file` with the output of sign --json, - for stdin")
	cmd.Flags().StringVar(&logKey, "log-key", "", logKeyUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("log-key") // fails only for a flag that is not there
	return cmd
}

// verifyReceipt checks the receipt of a result, without its bundle.
func (a *app) verifyReceipt(name string, verifier note.Verifier, s *logSummary) error {
	result, err := a.readResult(name)
	if err != nil {
		return err
	}
	if result.Log == nil {
		return &inputError{err: fmt.Errorf("result %s: found no log receipt", name)}
	}
	receipt, err := client.ParseReceipt(result.Log)
	if err != nil {
		return &verificationError{err: err}
	}
	if _, err := client.VerifyReceipt(receipt, verifier); err != nil {
		return &verificationError{err: err}
	}
	_, tree, err := openCheckpoint(receipt.Checkpoint, verifier)
	if err != nil {
		return &verificationError{err: err}
	}
	s.Source, s.Index, s.Size, s.Root = name, &receipt.Index, tree.N, tree.Hash.String()
	return nil
}

func verifyCopy(ctx context.Context, dir logtree.Dir, verifier note.Verifier, s *logSummary) error {
	msg, err := dir.Checkpoint()
	if err != nil {
		return &inputError{err: err, hint: "bundlesign log export DIR makes a copy of the log"}
	}
	tree, err := audit.OpenCheckpoint(msg, verifier)
	if err != nil {
		return &verificationError{err: err}
	}
	s.Source, s.Size, s.Root = string(dir), tree.N, tree.Hash.String()
	return dir.Verify(ctx, tree)
}

func (a *app) verifyDaemon(ctx context.Context, verifier note.Verifier, s *logSummary) error {
	c := a.client()
	defer c.Close()
	msg, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	tree, err := audit.OpenCheckpoint(msg, verifier)
	if err != nil {
		return &client.UntrustedError{Part: "log", Err: err}
	}
	s.Source, s.Size, s.Root = a.socket, tree.N, tree.Hash.String()
	return logtree.Verify(ctx, tree, c.EntryBundle)
}
