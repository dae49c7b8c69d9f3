package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap/zapcore"

	"github.com/bundlesign/bundlesign/policy"
)

// describe says what a node is, with its value, for messages.
func describe(n ast.Node) string {
	if text, ok := textOf(n); ok {
		return quote(text)
	}
	if text, ok := written(n); ok {
		return "the number " + text
	}
	if isBool(n) {
		return n.GetToken().Value
	}
	return describeKind(n)
}

// describeKind says what a node is without its value.
func describeKind(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.BoolNode:
		return "a truth value"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	}
	return "something else"
}

// describeType says what a field takes, for messages and for the manual.
func describeType(f field, t reflect.Type) string {
	if len(f.oneOf) > 0 {
		return f.oneOfText()
	}
	bounds := ""
	if f.min != "" {
		bounds = " from " + f.min + " to " + f.max
	}
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		return "a duration" + bounds
	case ByteSize:
		return "a size in bytes" + bounds
	case os.FileMode:
		return `four octal digits such as "0660"`
	case []policy.Glob:
		return "a list of patterns"
	case zapcore.Level:
		return "a level"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "an integer" + bounds
	case reflect.Struct:
		return "fields (" + names(fieldsOf(t)) + ")"
	case reflect.Map:
		return "names, each with " + describeType(field{}, t.Elem())
	case reflect.Interface:
		return "any value"
	case reflect.Slice:
		list := "a list of texts"
		if f.kind == "uri" {
			list = "a list of URIs of keys"
		}
		if t.Elem().Kind() == reflect.Struct {
			list = "a list of fields (" + names(fieldsOf(t.Elem())) + ")"
		}
		if bounds != "" {
			list += ", " + f.rangeText()
		}
		return list
	}
	switch f.kind {
	case "path":
		return "a path"
	case "uri":
		return "the URI of a key"
	case "expression":
		return "an expression"
	case "time":
		return "a time such as 2026-03-02T12:00:00Z"
	}
	if f.required {
		return "text that is not empty"
	}
	return "text"
}

// oneOfText lists the values that a field may have: "a", "b" or "c".
func (f field) oneOfText() string {
	quoted := make([]string, len(f.oneOf))
	for i, v := range f.oneOf {
		quoted[i] = quote(v)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// allows reports whether text is one of the field's values, if it has any.
func (f field) allows(text string) bool {
	for _, v := range f.oneOf {
		if text == v {
			return true
		}
	}
	return len(f.oneOf) == 0
}

// bounds returns the range of a field, both ends included.
func (f field) bounds() (least, most int64, ok bool) {
	if f.min == "" {
		return 0, 0, false
	}
	return mustBound(f.min), mustBound(f.max), true
}

func (f field) rangeText() string { return f.min + " to " + f.max }

// mustBound reads one end of a range tag: an integer, a size or a duration.
func mustBound(s string) int64 {
	if n, err := parseByteSize(s); err == nil {
		return int64(n)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(fmt.Sprintf("config: range tag %q is neither an integer, a size nor a duration", s))
	}
	return int64(d)
}
