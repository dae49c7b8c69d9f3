package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// The rules of this command line, after those of age:
//
//   - The result, and nothing else, goes to stdout; with --json it is one JSON
//     document, also when it is an error.
//   - Everything else goes to stderr, each line led by "bundlesign: ". An error
//     is followed by a line "bundlesign: hint: ..." where something can be tried.
//   - No capital at the beginning, no full stop at the end.
//   - What the daemon or a file says is shown without control characters.

// say tells the user something on stderr.
func (a *app) say(format string, args ...any) {
	a.line.aside(func() {
		fmt.Fprintf(a.stderr, "bundlesign: %s\n", show.Printable(fmt.Sprintf(format, args...)))
	})
}

// print writes a result to stdout. An error is an [undeliveredError].
func (a *app) print(text string) error {
	if _, err := io.WriteString(a.stdout, text); err != nil {
		return &undeliveredError{err: err}
	}
	return nil
}

// printJSON writes a result as the official CLI does: two spaces, and "<" and
// "&" as they are.
func (a *app) printJSON(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return a.print(buf.String())
}

// table lines up columns.
type table struct{ show.Table }

// notice says why a call takes long, each thing once.
func (a *app) notice(n client.Notice) {
	var text string
	switch {
	case n.Pending != nil:
		text = fmt.Sprintf("request %s is %s: %s; waiting", n.Pending.ID, n.Pending.State, n.Pending.Reason)
		if waits := client.WaitsFor(n.Pending.Missing); waits != "" {
			text += " for " + waits
		}
		if n.Pending.Note != "" {
			text += "; " + n.Pending.Note
		}
		if p := n.Pending.Progress; p != nil {
			text = fmt.Sprintf("request %s is being signed: %d of %d signatures", n.Pending.ID, p.Signed, p.Total)
		}
	case n.Err != nil:
		text = n.Err.Error() + "; trying again"
	}
	if text != "" && text != a.lastNotice {
		a.say("%s", text)
		a.lastNotice = text
	}
}

// printableLine is a line of a result.
func printableLine(text string) string { return show.Printable(text) + "\n" }

// stamp shows a time as the log has it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// orDash shows an empty value as a dash.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
