package project

import (
	"fmt"
	"strings"
)

// Error is one fault of a bundlesign.yaml.
type Error struct {
	File   string
	Line   int    // from 1; 0 if the fault is of the file as a whole
	Column int    // from 1, in characters; 0 with Line
	Field  string // such as "profiles.dev.wait"; "" if it is of no field
	Msg    string // what was found, and what would be right
}

// Error has the form of compilers: file:line:column: field: message.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors is all that is wrong with a file, in the order of its lines. It is never empty when it is an error.
type Errors []*Error

// Error has one sentence for each fault.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.As the single faults.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}
