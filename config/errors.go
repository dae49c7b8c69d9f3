package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bundlesign/bundlesign/config/strictyaml"
)

// Error is one fault of a configuration or policy file. Its File is as the user
// named it, or relative to how the user named config.yaml.
type Error = strictyaml.Error

// Errors is all that is wrong, in the order of files and lines. It is never
// empty when it is returned as an error.
type Errors []*Error

// Error is one line for each fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As and errors.Is the single faults.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// err is e as an error, nil if there is nothing wrong.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Warning is something that works but is likely not what was meant. Its fields
// are those of an [Error].
type Warning Error

// String is one line: file:line:column: warning: field: message.
func (w Warning) String() string { return (*Error)(&w).Text("warning: ") }

// place is a position in a file.
type place struct{ line, column int }

// report collects the faults of one file. It knows where each field stands.
type report struct {
	file     string
	at       map[string]place
	faulty   map[string]bool
	errs     Errors
	warnings []Warning
}

func newReport(file string) *report {
	return &report{file: file, at: make(map[string]place), faulty: make(map[string]bool)}
}

// errorf reports a fault of a field, which need not be in the file: the place is
// then that of the nearest field around it.
func (r *report) errorf(field, format string, args ...any) {
	r.errorAt(r.find(field), field, format, args...)
}

func (r *report) errorAt(p place, field, format string, args ...any) {
	r.faulty[field] = true
	r.errs = append(r.errs, &Error{File: r.file, Line: p.line, Column: p.column, Field: field, Msg: fmt.Sprintf(format, args...)})
}

func (r *report) warnf(field, format string, args ...any) {
	p := r.find(field)
	r.warnings = append(r.warnings, Warning{r.file, p.line, p.column, field, fmt.Sprintf(format, args...)})
}

// ok reports whether nothing was wrong with a field so far, so that one mistake
// is not reported twice.
func (r *report) ok(field string) bool { return !r.faulty[field] }

// anyFaulty reports whether something was wrong with a field or with one below it.
func (r *report) anyFaulty(field string) bool {
	for f := range r.faulty {
		if f == field || strings.HasPrefix(f, field+"[") || strings.HasPrefix(f, field+".") {
			return true
		}
	}
	return false
}

// written reports whether a field stands in the file.
func (r *report) written(field string) bool { _, ok := r.at[field]; return ok }

// find returns the place of a field, or of the nearest one that holds it.
func (r *report) find(field string) place {
	for {
		if p, ok := r.at[field]; ok {
			return p
		}
		if field == "" {
			return place{}
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
}

// sorted puts faults in the order of their lines, those of other files last.
func (r *report) sorted() *report {
	sort.SliceStable(r.errs, func(i, j int) bool { return r.before(r.errs[i], r.errs[j]) })
	sort.SliceStable(r.warnings, func(i, j int) bool {
		return r.before((*Error)(&r.warnings[i]), (*Error)(&r.warnings[j]))
	})
	return r
}

func (r *report) before(a, b *Error) bool {
	if a.File != b.File {
		return a.File == r.file
	}
	if a.Line != b.Line {
		return a.Line < b.Line
	}
	return a.Column < b.Column
}

// quote shows a value in a message, cut if it is long.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		return strconv.Quote(string([]rune(s)[:most])) + "..."
	}
	return strconv.Quote(s)
}
