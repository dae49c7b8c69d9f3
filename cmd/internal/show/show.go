// Package show prints for people: what both programs do alike on a terminal. Its
// invariant is that no text from elsewhere, of a token, a server or a file, can
// play with the terminal or fake a line.
package show

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Printable shows what cannot be printed as an escape.
func Printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) { // as is what stands for bytes that are no text
			out.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		out.WriteString(q[1 : len(q)-1])
	}
	return out.String()
}

// Table lines up columns. Its cells are shown as by [Printable].
type Table struct{ rows [][]string }

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// String returns the rows, each ended by a newline and without white space before
// it.
func (t *Table) String() string {
	var buf bytes.Buffer
	w := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, Printable(cell))
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
