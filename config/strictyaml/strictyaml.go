// Package strictyaml parses the part of YAML in which a thing is what it looks
// like, for files that decide about security.
//
// Its invariant is that one thing stands in one place and has one type: it refuses
// anchors, aliases, merge keys, tags, directives and several documents, text that
// an editor would show otherwise, and nesting or length that is a danger to the
// parser. Everything that it refuses has a line and a column.
package strictyaml

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. The parser's time grows with the square of depth and of
// entries in one mapping; far below these it is some milliseconds. Its length is
// for the caller to bound.
const (
	MaxNesting = 20    // brackets within brackets, or dashes in one line
	MaxEntries = 20000 // fields in the whole file
)

// Place is a position in a file: line and column, in characters and from 1.
type Place struct{ Line, Column int }

// PlaceOf returns where a token stands.
func PlaceOf(t *token.Token) Place {
	return Place{max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// Expect is what messages name as right.
type Expect struct {
	Fields  string // what is in such a file, such as "fields such as app and channel"
	Pattern string // a pattern that has to be in quotes, such as "*.shop"
}

// Parse returns what the file is, or nil if it is nothing that can be read. What it
// refuses is told to fault; if that was called, the file is not to be believed.
// Duplicate names are for whoever reads the nodes to find.
func Parse(data []byte, want Expect, fault func(at Place, message string)) ast.Node {
	r := &reader{want: want, tell: fault}
	return r.parse(data)
}

type reader struct {
	want   Expect
	tell   func(Place, string)
	faults int
}

func (r *reader) errorAt(at Place, format string, args ...any) {
	r.faults++
	r.tell(at, fmt.Sprintf(format, args...))
}

func (r *reader) parse(data []byte) ast.Node {
	if !r.checkText(data) {
		return nil
	}
	tokens, err := guard(func() (token.Tokens, error) { return lexer.Tokenize(string(data)), nil })
	if err != nil {
		r.errorAt(Place{1, 1}, "%v", err)
		return nil
	}
	if !r.checkTokens(tokens) {
		return nil
	}
	refused := r.faults > 0
	file, err := guard(func() (*ast.File, error) { return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) })
	if err != nil {
		if !refused { // else it is likely their consequence
			r.errorAt(syntaxPlace(err), "not valid YAML: %s", syntaxMessage(err))
		}
		return nil
	}
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); !directive && doc.Body != nil {
			return doc.Body
		}
	}
	if !refused {
		r.errorAt(Place{1, 1}, "found nothing but comments, want %s", r.want.Fields)
	}
	return nil
}

// guard turns a panic into an error. Releases of the parser have had panics on
// malformed input, and an operator's typing error is not to be answered with a
// stack trace.
func guard[T any](fn func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not valid YAML: the parser cannot make sense of it (%v)", r)
		}
	}()
	return fn()
}

func syntaxPlace(err error) Place {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil {
		return PlaceOf(syntax.Token)
	}
	return Place{1, 1}
}

func syntaxMessage(err error) string {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Message // without the lines of the file, which the error itself would show
	}
	return err.Error()
}

// checkText refuses what is not a text file, before a parser guesses.
func (r *reader) checkText(data []byte) bool {
	p := Place{1, 1}
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		bare := c == '\r' && (len(data) == 1 || data[1] != '\n')
		switch {
		case c == utf8.RuneError && size == 1:
			r.errorAt(p, "found the byte 0x%02x, which is not UTF-8; want a text file in UTF-8", data[0])
			return false
		case c == '\ufeff':
			r.errorAt(p, "found a byte order mark (U+FEFF), want UTF-8 without one")
			return false
		case c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f, bare:
			r.errorAt(p, "found the control character U+%04X, want plain text", c)
			return false
		}
		if c == '\n' {
			p = Place{p.Line + 1, 1}
		} else {
			p.Column++
		}
		data = data[size:]
	}
	return true
}

// checkTokens reports refused kinds of YAML, and returns false if there is no
// use, or danger, in going on.
func (r *reader) checkTokens(tokens token.Tokens) bool {
	depth, entries, dashes, dashLine := 0, 0, 0, 0
	begun, ended := false, false // content of the document; its end
	for _, t := range tokens {
		at := PlaceOf(t)
		if t.Type == token.CommentType {
			continue
		}
		if ended {
			r.errorAt(at, "found a second document, want one")
			return false
		}
		switch t.Type {
		case token.AnchorType:
			r.errorAt(at, "found an anchor (&), want the value itself in each place; a text that begins with & goes in quotes")
		case token.AliasType:
			r.errorAt(at, "found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as %q", r.want.Pattern)
		case token.MergeKeyType:
			r.errorAt(at, "found a merge key (<<), want the fields themselves")
		case token.TagType:
			r.errorAt(at, "found a tag (%s), want the plain value; a text that begins with ! goes in quotes", t.Value)
		case token.DirectiveType:
			r.errorAt(at, "found a directive (%%), want none")
			return false
		case token.DocumentHeaderType:
			if begun {
				r.errorAt(at, "found a second document (---), want one")
				return false
			}
		case token.DocumentEndType:
			ended = true
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.MappingValueType:
			entries++
		case token.SequenceEntryType, token.MappingKeyType:
			if at.Line != dashLine {
				dashes, dashLine = 0, at.Line
			}
			dashes++
		}
		begun = true
		if depth > MaxNesting || dashes > MaxNesting {
			r.errorAt(at, "found more than %d levels of nesting; no field has that many", MaxNesting)
			return false
		}
		if entries > MaxEntries {
			r.errorAt(at, "found more than %d fields in one file, want fewer", MaxEntries)
			return false
		}
	}
	return true
}
