package config

import (
	"fmt"
	"reflect"
	"strings"
)

// suggest says which field an unknown name in struct type t was likely meant to
// be, or which fields there are. If it is one of t's own, likely is its name.
func suggest(name string, t reflect.Type) (likely, hint string) {
	fields := fieldsOf(t)
	plain := normalize(name)
	distance := len(plain)/3 + 2
	for _, f := range fields {
		if d := editDistance(plain, normalize(f.name), distance); d < distance {
			likely, distance = f.name, d
		}
	}
	if likely != "" {
		return likely, fmt.Sprintf("; did you mean %s?", likely)
	}
	root := reflect.TypeFor[Config]()
	if holds(reflect.TypeFor[PolicyFile](), t) {
		root = reflect.TypeFor[PolicyFile]()
	}
	if elsewhere := locate(plain, root, ""); elsewhere != "" {
		return "", fmt.Sprintf("; did you mean %s?", elsewhere)
	}
	return "", "; the fields here are " + names(fields)
}

// normalize undoes the common ways to write a name differently.
func normalize(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// locate returns the path of the field with this name in another part of the
// configuration.
func locate(plain string, t reflect.Type, path string) string {
	for _, f := range fieldsOf(t) {
		full := join(path, f.name)
		if normalize(f.name) == plain {
			return full
		}
		inner, full := insideOf(t.Field(f.index).Type, full)
		if inner.Kind() == reflect.Struct {
			if found := locate(plain, inner, full); found != "" {
				return found
			}
		}
	}
	return ""
}

// insideOf returns the type of what a list or map of the field at path holds, and
// the path of such a thing; of other types, the type itself.
func insideOf(t reflect.Type, path string) (reflect.Type, string) {
	switch t.Kind() {
	case reflect.Slice:
		return t.Elem(), path + "[]"
	case reflect.Map:
		return t.Elem(), path + ".NAME"
	}
	return t, path
}

// holds reports whether struct type t is root, or is somewhere below it.
func holds(root, t reflect.Type) bool {
	if root == t {
		return true
	}
	for _, f := range fieldsOf(root) {
		if inner, _ := insideOf(root.Field(f.index).Type, ""); inner.Kind() == reflect.Struct && holds(inner, t) {
			return true
		}
	}
	return false
}

// editDistance is Levenshtein's, cut off at limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
