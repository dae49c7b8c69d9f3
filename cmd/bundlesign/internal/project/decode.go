package project

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxItems is how many items a list or a mapping can have.
const maxItems = 1000

var nameOfProfile = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reader reads one file, and collects what is wrong with it.
type reader struct {
	file string
	dir  string
	errs Errors
}

func (r *reader) fault(at place, field, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Line: at.line, Column: at.column, Field: field, Msg: fmt.Sprintf(format, args...)})
}

// parse reads a bundlesign.yaml; name is its absolute path.
func parse(name string, data []byte) (*Project, error) {
	r := &reader{file: name, dir: filepath.Dir(name)}
	p := &Project{Path: name, profiles: make(map[string]layer)}
	if root := r.parseYAML(data); root != nil {
		r.root(root, p)
	}
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, func(a, b *Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, r.errs
	}
	return p, nil
}

// root reads the whole file into p.
func (r *reader) root(n ast.Node, p *Project) {
	var at place
	p.top = r.layer("", n, func(name string, key, n ast.Node) bool {
		switch name {
		case "profile":
			at = placeOf(n.GetToken())
			p.defaultProfile, _ = r.text(name, n)
		case "profiles":
			r.profiles(n, p.profiles)
		default:
			return false
		}
		return true
	})
	if _, ok := p.profiles[p.defaultProfile]; !ok && p.defaultProfile != "" && len(r.errs) == 0 {
		want := "one of " + strings.Join(p.Profiles(), ", ")
		if len(p.profiles) == 0 {
			want = "one that stands under profiles, and found none there"
		}
		r.fault(at, "profile", "found %s, want %s", quote(p.defaultProfile), want)
	}
}

func (r *reader) profiles(n ast.Node, into map[string]layer) {
	r.mapping("profiles", n, "names of profiles, each with settings", func(name string, key, n ast.Node) {
		full := join("profiles", name)
		if !nameOfProfile.MatchString(name) {
			r.fault(placeOf(key.GetToken()), full, "found a name that is not a word, want letters, digits, dots, - and _ (at most 64)")
			return
		}
		into[name] = r.layer(full, n, nil)
	})
}

// layer reads settings. What extra says it has read is no setting.
func (r *reader) layer(path string, n ast.Node, extra func(name string, key, n ast.Node) bool) layer {
	l := make(layer)
	r.mapping(path, n, "settings such as app and channel", func(name string, key, n ast.Node) {
		if extra != nil && extra(name, key, n) {
			return
		}
		full := join(path, name)
		f, ok := fieldNamed(name)
		if !ok {
			r.fault(placeOf(key.GetToken()), full, "unknown field; the fields here are %s", known(extra != nil))
			return
		}
		if v, ok := r.value(full, f.kind, n); ok {
			l[name] = v
		}
	})
	return l
}

// mapping calls each for the entries of a mapping, and reports what is no mapping and what is there twice.
func (r *reader) mapping(path string, n ast.Node, want string, each func(name string, key, n ast.Node)) {
	entries, ok := n.(ast.MapNode)
	if !ok {
		r.fault(placeOf(n.GetToken()), path, "found %s, want %s", describe(n), want)
		return
	}
	lines := make(map[string]int)
	for it := entries.MapRange(); it.Next(); {
		key := it.KeyValue().Key
		at := placeOf(key.GetToken())
		s, ok := key.(*ast.StringNode)
		switch {
		case !ok:
			r.fault(at, path, "found %s as the name of a field, want a word; put it in quotes", describe(key))
			continue
		case lines[s.Value] > 0:
			r.fault(at, join(path, s.Value), "found a second time, the first is in line %d; want it once", lines[s.Value])
			continue
		case len(lines) == maxItems:
			r.fault(at, path, "found more than %d fields, want fewer", maxItems)
			return
		}
		lines[s.Value] = at.line
		each(s.Value, key, it.KeyValue().Value)
	}
}

func known(top bool) string {
	var names []string
	for _, f := range fields() {
		names = append(names, f.name)
	}
	if top {
		names = append(names, "profile", "profiles")
	}
	return strings.Join(names, ", ")
}

// join is the path of a field. A name that is no plain word is quoted.
func join(path, name string) string {
	if !nameOfProfile.MatchString(name) || strings.Contains(name, ".") {
		name = quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
