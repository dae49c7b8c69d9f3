package config

import (
	"math"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// named decodes a node into a map: things by names that the file gives them.
func (d decoder) named(path string, n ast.Node, f field, dst reflect.Value) {
	entries, ok := n.(ast.MapNode)
	if !ok {
		d.errorf(path, "found %s, want %s", describe(n), describeType(f, dst.Type()))
		return
	}
	lines, things := make(map[string]int), reflect.MakeMap(dst.Type())
	for it := entries.MapRange(); it.Next(); {
		key := it.KeyValue().Key
		at := tokenPlace(key.GetToken())
		name, ok := fieldName(key)
		switch {
		case !ok:
			if _, merge := key.(*ast.MergeKeyNode); !merge { // those are refused already
				d.errorAt(at, path, "found %s as a name, want text: put it in quotes", describe(key))
			}
			continue
		case name == "":
			d.errorAt(at, path, "found a name that is empty, want one")
			continue
		}
		if err := checkPrintable(name); err != nil {
			d.errorAt(at, path, "as a name: %v", err)
			continue
		}
		full := join(path, name)
		if first, again := lines[name]; again {
			d.errorAt(at, full, "found a second time, the first is in line %d; want it once", first)
			continue
		}
		lines[name] = at.line
		d.at[full] = at
		thing := newElement(dst.Type().Elem())
		d.value(full, it.KeyValue().Value, field{required: true}, thing)
		d.at[full] = at // a name is a better place than what follows it
		things.SetMapIndex(reflect.ValueOf(name), thing)
	}
	if things.Len() > 0 { // so that an empty map and none are the same value
		dst.Set(things)
	}
}

// any decodes a node into what JSON would decode it to.
func (d decoder) any(path string, n ast.Node, dst reflect.Value) {
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		dst.Set(reflect.ValueOf(n.Value))
	case *ast.MappingNode, *ast.MappingValueNode:
		v := reflect.New(reflect.TypeFor[map[string]any]()).Elem()
		v.Set(reflect.MakeMap(v.Type()))
		d.named(path, n, field{}, v)
		dst.Set(v)
	case *ast.SequenceNode:
		v := reflect.New(reflect.TypeFor[[]any]()).Elem()
		v.Set(reflect.ValueOf([]any{}))
		d.list(path, n, field{}, v)
		dst.Set(v)
	default:
		text, isText := textOf(n)
		if isText {
			dst.Set(reflect.ValueOf(text))
			return
		}
		number, ok := written(n)
		value, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
			d.errorf(path, "found %s, want a value that JSON has", describe(n))
			return
		}
		dst.Set(reflect.ValueOf(value))
	}
}
