package config

import (
	"reflect"
	"strings"
)

// field is one field of a struct of the configuration, as its tags describe it:
//
//	yaml:"name"       its name in the file; "-": it is not in the file
//	need:"required"   it has no default
//	range:"MIN..MAX"  the bounds of a number, size or duration, or of the length of a list
//	oneof:"a b c"     the only values
//	kind:"path"       a path: made absolute
//	example:"TEXT"    shown in a comment where the field is left out; after a line
//	                  break, as lines below it
//	kind:"uri"        where a key is: its path is made absolute, messages never show it
//	kind:"expression" text that may have several lines
//	kind:"time"       a time (RFC 3339)
type field struct {
	name     string
	goName   string
	index    int
	required bool
	min, max string
	oneOf    []string
	kind     string
	example  string
}

// fieldsOf returns the fields of struct type t that stand in the file, in order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		least, most, _ := strings.Cut(f.Tag.Get("range"), "..")
		fields = append(fields, field{
			name: name, goName: f.Name, index: i,
			required: f.Tag.Get("need") == "required",
			min:      least, max: most,
			oneOf: strings.Fields(f.Tag.Get("oneof")),
			kind:  f.Tag.Get("kind"), example: f.Tag.Get("example"),
		})
	}
	return fields
}

// newElement returns an addressable element of a list, with its defaults.
func newElement(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch element := v.Addr().Interface().(type) {
	case *Key:
		*element = DefaultKey()
	case *Case:
		element.Requester.UID = defaultCaseUID
	case *CaseRequester:
		element.UID = defaultCaseUID
	}
	return v
}

// join makes the path of a field within another.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
