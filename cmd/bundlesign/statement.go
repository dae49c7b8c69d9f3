package main

import (
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

const (
	// defaultWidth is that of a terminal which does not say, in columns.
	defaultWidth = 80
	minWidth     = 20

	lineMark = "|"
	foldMark = "|   > " // the same line goes on
)

// framed shows a text that people sign. Each of its lines begins with a mark, and
// those that are too long are folded here, with another: a value full of spaces
// must not look like a line of the statement where the terminal breaks it.
func framed(text string, width int) string {
	width = max(width, minWidth)
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		mark := lineMark
		for rest := []rune(show.Printable(line)); ; mark = foldMark {
			n := fits(rest, width-len(mark))
			b.WriteString(mark + string(rest[:n]) + "\n")
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
		}
	}
	return b.String()
}

// fits returns how much of a line goes into so many columns: all of it or, if it
// can be, up to a space, so that a digest stays in one piece.
func fits(line []rune, columns int) int {
	column, space := 0, 0
	for i, c := range line {
		if column++; c >= 0x80 {
			column++ // as wide as any character is
		}
		if column > columns {
			if space > 0 {
				return space
			}
			return max(i, 1)
		}
		if c == ' ' {
			space = i + 1
		}
	}
	return len(line)
}

// width is that of the terminal that w is, in columns.
func width(w any) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return defaultWidth
}
