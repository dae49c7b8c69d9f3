package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decode reads the file in data into the struct that into points to, which
// holds the defaults, and reports every fault of form: unknown, repeated and
// missing fields, wrong types, values out of range. What the values mean is
// checked later. It returns false if the file could not be read as fields at
// all, so that nothing more can be said about it.
func decode(r *report, data []byte, into any) bool {
	root := parseYAML(r, data)
	if root == nil {
		return false
	}
	d := decoder{r}
	d.mapping("", root, reflect.ValueOf(into).Elem())
	_, ok := root.(ast.MapNode)
	return ok
}

type decoder struct{ *report }

// value decodes one node, which stands at path, into dst.
func (d decoder) value(path string, n ast.Node, f field, dst reflect.Value) {
	if a, ok := n.(*ast.AnchorNode); ok {
		n = a.Value // refused already; look for more faults behind it
	}
	if _, null := n.(*ast.NullNode); !null || !d.written(path) {
		d.at[path] = tokenPlace(n.GetToken())
	}
	switch n.(type) {
	case *ast.AliasNode, *ast.TagNode:
		d.faulty[path] = true // refused already
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		d.mapping(path, n, dst)
	case reflect.Slice:
		d.list(path, n, f, dst)
	case reflect.Map:
		d.named(path, n, f, dst)
	case reflect.Interface:
		d.any(path, n, dst)
	default:
		if err := decodeScalar(n, f, dst); err != nil {
			d.errorf(path, "%v", err)
		}
	}
}

// mapping decodes a node into a struct.
func (d decoder) mapping(path string, n ast.Node, dst reflect.Value) {
	entries, ok := n.(ast.MapNode)
	if !ok {
		d.errorf(path, "found %s, want fields (%s)", describe(n), names(fieldsOf(dst.Type())))
		return
	}
	fields := fieldsOf(dst.Type())
	known := make(map[string]field, len(fields))
	for _, f := range fields {
		known[f.name] = f
	}
	lines, meant := make(map[string]int), make(map[string]bool)
	for it := entries.MapRange(); it.Next(); {
		key := it.KeyValue().Key
		at := tokenPlace(key.GetToken())
		if len(lines) == 0 && path != "" {
			d.at[path] = at // the first field is a better place than the colon after it
		}
		name, ok := fieldName(key)
		if !ok {
			if _, merge := key.(*ast.MergeKeyNode); !merge { // those are refused already
				d.errorAt(at, path, "found %s as the name of a field, want one of %s", describe(key), names(fields))
			}
			continue
		}
		full := join(path, name)
		first, again := lines[name]
		if again {
			d.errorAt(at, full, "found a second time, the first is in line %d; want it once", first)
			continue
		}
		lines[name] = at.line
		f, ok := known[name]
		if !ok {
			likely, hint := suggest(name, dst.Type())
			meant[likely] = true
			d.errorAt(at, join(path, plainName(name)), "unknown field%s", hint)
			continue
		}
		d.at[full] = at // the place of a value that is left out
		d.value(full, it.KeyValue().Value, f, dst.Field(f.index))
	}
	for _, f := range fields {
		if _, found := lines[f.name]; !f.required || found {
			continue
		}
		if meant[f.name] {
			d.faulty[join(path, f.name)] = true // said already
			continue
		}
		d.errorf(join(path, f.name), "missing, want %s", describeType(f, dst.Field(f.index).Type()))
	}
}

// list decodes a node into a slice.
func (d decoder) list(path string, n ast.Node, f field, dst reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := ""
		if _, scalar := n.(ast.ScalarNode); scalar && describe(n) != "nothing" {
			hint = "; one value is a list too: [value]"
		}
		d.errorf(path, "found %s, want %s%s", describe(n), describeType(f, dst.Type()), hint)
		return
	}
	list := reflect.MakeSlice(dst.Type(), 0, len(seq.Values))
	for i, n := range seq.Values {
		element := newElement(dst.Type().Elem())
		d.value(fmt.Sprintf("%s[%d]", path, i), n, field{required: true, kind: f.kind}, element)
		list = reflect.Append(list, element)
	}
	if least, most, ok := f.bounds(); ok && (int64(len(seq.Values)) < least || int64(len(seq.Values)) > most) {
		d.errorf(path, "found %d entries, want %s", len(seq.Values), f.rangeText())
	}
	if list.Len() > 0 { // so that an empty list and none are the same value
		dst.Set(list)
	}
}

// fieldName returns the name that a key is, if it is plain or quoted text.
func fieldName(key ast.MapKeyNode) (string, bool) {
	s, ok := key.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

// plainName is an unknown name as part of a field's path: quoted if it could be
// taken for something else.
func plainName(name string) string {
	if name != "" && strings.IndexFunc(name, func(c rune) bool { return !isWordChar(c) }) < 0 && len(name) <= 40 {
		return name
	}
	return quote(name)
}

func isWordChar(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func names(fields []field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return strings.Join(list, ", ")
}
