package strictyaml

import (
	"fmt"
	"strings"
)

// Error is one fault of a file.
type Error struct {
	File   string // as the user named it
	Line   int    // from 1; 0 if the fault is of the file as a whole
	Column int    // from 1, in characters; 0 with Line
	Field  string // such as "keys[1].custody"; "" if it is of no field
	Msg    string // what was found, and what would be right
}

// Error is one line, in the form of compilers: file:line:column: field: message.
func (e *Error) Error() string { return e.Text("") }

// Text is Error with a severity, such as "warning: ", before field and message.
func (e *Error) Text(severity string) string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + severity)
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}
