package manpage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// heading begins a section.
func heading(b *strings.Builder, name string) { fmt.Fprintf(b, ".SH %s\n", quoted(name)) }

// prose writes a text as a command's help has it: paragraphs between empty lines,
// and lines that begin with spaces, which stay as they are.
func prose(b *strings.Builder, text string) {
	kept, open := false, false // within lines that stay, within a paragraph
	for row := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		asIs := strings.HasPrefix(row, " ")
		switch {
		case kept && !asIs && row != "":
			b.WriteString(".fi\n")
			kept, open = false, false
		case kept && row == "":
			b.WriteString("\n")
			continue
		}
		switch {
		case row == "":
			open = false
		case asIs:
			if !kept {
				b.WriteString(".PP\n.nf\n")
				kept = true
			}
			b.WriteString(line(row) + "\n")
		default:
			if !open {
				b.WriteString(".PP\n")
				open = true
			}
			b.WriteString(line(row) + "\n")
		}
	}
	if kept {
		b.WriteString(".fi\n")
	}
}

// escaped is a text that troff shows as it is, within a line.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\\':
			b.WriteString(`\e`)
		case c == '-':
			b.WriteString(`\-`) // a minus, which can be copied, not a hyphen
		case c == '"':
			b.WriteString(`\(dq`)
		case c == '\'':
			b.WriteString(`\(aq`)
		case c == '^':
			b.WriteString(`\(ha`)
		case c == '~':
			b.WriteString(`\(ti`)
		case c == '`':
			b.WriteString(`\(ga`)
		case c > unicode.MaxASCII:
			fmt.Fprintf(&b, `\[u%04X]`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// line is a text that is a line of its own, and no request: those begin with a dot
// or with a quotation mark, which is escaped already.
func line(s string) string {
	s = escaped(s)
	if strings.HasPrefix(strings.TrimLeft(s, " "), ".") {
		return `\&` + s
	}
	return s
}

// quoted is an argument of a request.
func quoted(s string) string { return `"` + escaped(s) + `"` }

// lowerFirst begins a text as the NAME section does; an acronym stays.
func lowerFirst(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	next, _ := utf8.DecodeRuneInString(s[n:])
	if unicode.IsUpper(next) {
		return s
	}
	return string(unicode.ToLower(first)) + s[n:]
}
