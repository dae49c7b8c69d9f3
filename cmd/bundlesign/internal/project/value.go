package project

import (
	"fmt"
	"strconv"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// value reads the value of a field.
func (r *reader) value(path string, k kind, n ast.Node) (v value, ok bool) {
	switch k {
	case kindTruth:
		b, isBool := n.(*ast.BoolNode)
		if source := n.GetToken().Value; !isBool || source != "true" && source != "false" {
			r.fault(placeOf(n.GetToken()), path, "found %s, want true or false", describe(n))
			return value{}, false
		}
		return value{on: b.Value}, true
	case kindList:
		v.list, ok = r.list(path, n)
		return v, ok
	case kindLabels:
		v.labels = make(map[string]string)
		before := len(r.errs)
		r.mapping(path, n, "names, each with a text", func(name string, key, n ast.Node) {
			v.labels[name], _ = r.text(join(path, name), n)
		})
		return v, len(r.errs) == before
	}
	if v.text, ok = r.text(path, n); !ok {
		return v, false
	}
	fixed, err := r.check(k, v.text)
	if err != nil {
		r.fault(placeOf(n.GetToken()), path, "%v", err)
		return v, false
	}
	return value{text: fixed}, true
}

// check holds a text against the kind of its field, and completes paths.
func (r *reader) check(k kind, s string) (string, error) {
	switch k {
	case kindPath:
		return r.absolute(s), nil
	case kindOutput:
		return r.within(s)
	case kindToken:
		if s == "-" {
			return s, nil
		}
		return r.absolute(s), nil
	case kindSocket:
		return r.socket(s)
	case kindForm:
		if s != "hex" && s != "legacy" {
			return "", fmt.Errorf("found %s, want hex or legacy", quote(s))
		}
	case kindDuration:
		if d, err := time.ParseDuration(s); err != nil || d <= 0 {
			return "", fmt.Errorf("found %s, want a duration such as 30m or 1h30m", quote(s))
		}
	}
	return s, nil
}

// text reads one line of text that is not empty.
func (r *reader) text(path string, n ast.Node) (string, bool) {
	s, ok := textOf(n)
	bad := ""
	switch {
	case !ok && isScalar(n):
		bad = fmt.Sprintf("found %s, want text: put it in quotes", describe(n))
	case !ok:
		bad = fmt.Sprintf("found %s, want text", describe(n))
	case s == "":
		bad = "found an empty text; leave the field out, or say what it is"
	default:
		for i, c := range s {
			if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
				bad = fmt.Sprintf("found text with a character that cannot be printed (U+%04X at byte %d), want one line of plain text", c, i)
				break
			}
		}
	}
	if bad != "" {
		r.fault(placeOf(n.GetToken()), path, "%s", bad)
		return "", false
	}
	return s, true
}

// list reads a list of texts. An empty one is refused: of channels it could be read as "none" and as "any".
func (r *reader) list(path string, n ast.Node) ([]string, bool) {
	seq, ok := n.(*ast.SequenceNode)
	switch {
	case !ok && isScalar(n):
		r.fault(placeOf(n.GetToken()), path, "found %s, want a list; one value is a list too: [value]", describe(n))
		return nil, false
	case !ok:
		r.fault(placeOf(n.GetToken()), path, "found %s, want a list of texts", describe(n))
		return nil, false
	case len(seq.Values) == 0:
		r.fault(placeOf(n.GetToken()), path, "found an empty list; leave the field out, or say what is in it")
		return nil, false
	case len(seq.Values) > maxItems:
		r.fault(placeOf(n.GetToken()), path, "found %d entries, want at most %d", len(seq.Values), maxItems)
		return nil, false
	}
	var out []string
	for i, item := range seq.Values {
		s, fine := r.text(fmt.Sprintf("%s[%d]", path, i), item)
		out, ok = append(out, s), ok && fine
	}
	return out, ok
}

func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode, *ast.BoolNode, *ast.StringNode, *ast.LiteralNode:
		return true
	}
	return false
}

// describe says what a node is, for messages.
func describe(n ast.Node) string {
	if s, ok := textOf(n); ok {
		return quote(s)
	}
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return quote(n.GetToken().Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + quote(n.GetToken().Value)
	}
	return "something else"
}

// quote shows a text of the file, and no more of it than a word or two.
func quote(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
