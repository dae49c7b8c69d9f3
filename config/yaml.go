package config

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
// entries in one mapping; far below these it is some milliseconds.
const (
	maxFileSize = 1 << 20 // bytes
	maxNesting  = 20      // brackets within brackets, or dashes in one line
	maxEntries  = 20000   // fields in the whole file
)

// parseYAML returns the mapping that the file is, or nil if it is none. What it
// refuses is reported, and includes all of YAML that lets one thing stand in
// several places or mean another type than it looks like: anchors, aliases,
// merge keys, tags, directives, several documents.
func parseYAML(r *report, data []byte) ast.Node {
	r.at[""] = place{1, 1}
	if !checkText(r, data) {
		return nil
	}
	tokens, err := guard(func() (token.Tokens, error) { return lexer.Tokenize(string(data)), nil })
	if err != nil {
		r.errorf("", "%v", err)
		return nil
	}
	faults := len(r.errs)
	if !checkTokens(r, tokens) {
		return nil
	}
	refused := len(r.errs) > faults
	file, err := guard(func() (*ast.File, error) {
		return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // the decoder reports them, all of them
	})
	if err != nil {
		if !refused { // else it is likely their consequence
			r.errorAt(syntaxPlace(err), "", "not valid YAML: %s", syntaxMessage(err))
		}
		return nil
	}
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); !directive && doc.Body != nil {
			return doc.Body
		}
	}
	if !refused {
		r.errorf("", "found nothing but comments, want fields such as those that \"bundlesignd init\" writes")
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

func syntaxPlace(err error) place {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil {
		return tokenPlace(syntax.Token)
	}
	return place{1, 1}
}

func syntaxMessage(err error) string {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Message // without the lines of the file, which the error itself would show
	}
	return err.Error()
}

func tokenPlace(t *token.Token) place {
	return place{max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// checkText refuses what is not a text file, before a parser guesses.
func checkText(r *report, data []byte) bool {
	p := place{1, 1}
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		bare := c == '\r' && (len(data) == 1 || data[1] != '\n')
		switch {
		case c == utf8.RuneError && size == 1:
			r.errorAt(p, "", "found the byte 0x%02x, which is not UTF-8; want a text file in UTF-8", data[0])
			return false
		case c == '\ufeff':
			r.errorAt(p, "", "found a byte order mark (U+FEFF), want UTF-8 without one")
			return false
		case c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f, bare:
			r.errorAt(p, "", "found the control character U+%04X, want plain text", c)
			return false
		}
		if c == '\n' {
			p = place{p.line + 1, 1}
		} else {
			p.column++
		}
		data = data[size:]
	}
	return true
}

// checkTokens reports refused kinds of YAML, and returns false if there is no
// use, or danger, in going on.
func checkTokens(r *report, tokens token.Tokens) bool {
	depth, entries, dashes, dashLine := 0, 0, 0, 0
	begun, ended := false, false // content of the document; its end
	for _, t := range tokens {
		at := tokenPlace(t)
		if t.Type == token.CommentType {
			continue
		}
		if ended {
			r.errorAt(at, "", "found a second document, want one")
			return false
		}
		switch t.Type {
		case token.AnchorType:
			r.errorAt(at, "", "found an anchor (&), want the value itself in each place; a text that begins with & goes in quotes")
		case token.AliasType:
			r.errorAt(at, "", "found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as \"*.shop\"")
		case token.MergeKeyType:
			r.errorAt(at, "", "found a merge key (<<), want the fields themselves")
		case token.TagType:
			r.errorAt(at, "", "found a tag (%s), want the plain value; a text that begins with ! goes in quotes", t.Value)
		case token.DirectiveType:
			r.errorAt(at, "", "found a directive (%%), want none")
			return false
		case token.DocumentHeaderType:
			if begun {
				r.errorAt(at, "", "found a second document (---), want one")
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
			if at.line != dashLine {
				dashes, dashLine = 0, at.line
			}
			dashes++
		}
		begun = true
		if depth > maxNesting || dashes > maxNesting {
			r.errorAt(at, "", "found more than %d levels of nesting; no field has that many", maxNesting)
			return false
		}
		if entries > maxEntries {
			r.errorAt(at, "", "found more than %d fields in one file, want fewer", maxEntries)
			return false
		}
	}
	return true
}
