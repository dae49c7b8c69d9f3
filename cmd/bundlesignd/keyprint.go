package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/bundlesign/bundlesign/api/wire"
)

// printable shows what cannot be printed as an escape, so that no text of a token
// or a server can play with the terminal or fake a line.
func printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			out.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		out.WriteString(q[1 : len(q)-1])
	}
	return out.String()
}

// table lines up columns.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var buf bytes.Buffer
	w := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, printable(cell))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	var out strings.Builder
	for line := range strings.Lines(buf.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

// custody adds what a key proved, and from what.
func (t *table) custody(c *wire.Custody) {
	if c == nil {
		t.row("custody shown", "-")
		return
	}
	t.row("custody shown", fmt.Sprintf("%s (%s)", c.Level, c.Backend))
	for _, name := range slices.Sorted(maps.Keys(c.Evidence)) {
		t.row("  "+name, c.Evidence[name])
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeJSON prints one JSON document, for people too.
func writeJSON(w io.Writer, v any) error {
	data, err := indentJSON(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func indentJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
