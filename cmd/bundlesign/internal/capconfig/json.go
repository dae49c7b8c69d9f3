package capconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep objects can be within each other, and templates within templates.
const maxDepth = 100

var bom = []byte("\ufeff")

// parseJSON reads a configuration in JSON (RFC 8259), in which no name stands twice.
func parseJSON(path string, src []byte) (*node, error) {
	skip := 0
	if bytes.HasPrefix(src, bom) { // Capacitor skips it, too
		skip = len(bom)
	}
	r := &jsonReader{dec: jsontext.NewDecoder(bytes.NewReader(src[skip:])), skip: skip}
	root, err := r.value(0)
	if err == nil {
		if _, more := r.dec.ReadToken(); more == nil {
			err = errors.New("found more after the end of the configuration")
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	if err == nil && root.kind != objectNode {
		err = fmt.Errorf("found %s, want an object", root.what)
	}
	if err != nil {
		at, msg := r.offset(), err.Error()
		if errors.Is(err, io.EOF) {
			msg = "not valid JSON: found nothing"
		}
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			at, msg = skip+int(syntax.ByteOffset), "not valid JSON: "+plain(syntax.Err)
		}
		return nil, newSyntax(path, src, &mark{at, msg})
	}
	return root, nil
}

// plain is what a parser says, without its package's name.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "jsontext: ") }

type jsonReader struct {
	dec  *jsontext.Decoder
	skip int
}

// offset is where the last token ended.
func (r *jsonReader) offset() int { return r.skip + int(r.dec.InputOffset()) }

func (r *jsonReader) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("found more than %d levels, that cannot be right", maxDepth)
	}
	if r.dec.PeekKind() == '{' {
		return r.object(depth)
	}
	kind := r.dec.PeekKind()
	raw, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	n := &node{kind: otherNode, end: r.offset(), what: "another kind of value"}
	n.start = n.end - len(raw)
	switch kind {
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return nil, err
		}
		n.kind, n.text, n.what = textNode, string(text), "text"
	case '[':
		n.what = "a list"
	case 'n':
		n.what = "null"
	case 't', 'f':
		n.what = string(raw)
	case '0':
		n.what = "a number"
	}
	return n, nil
}

func (r *jsonReader) object(depth int) (*node, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	n := &node{kind: objectNode, start: r.offset() - 1, what: "an object"}
	for r.dec.PeekKind() == '"' {
		raw, err := r.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		p := prop{start: r.offset() - len(raw)}
		name, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return nil, err
		}
		p.name = string(name)
		if p.value, err = r.value(depth + 1); err != nil {
			return nil, err
		}
		p.end = p.value.end
		n.props = append(n.props, p)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	n.end = r.offset()
	return n, nil
}
