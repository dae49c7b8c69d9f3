package project

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/bundlesign/bundlesign/config/strictyaml"
)

// place is a position in a file, in characters and from 1.
type place struct{ line, column int }

func placeOf(t *token.Token) place {
	at := strictyaml.PlaceOf(t)
	return place{at.Line, at.Column}
}

// parseYAML returns the mapping that the file is, or nil with the reason in r, see
// package strictyaml.
func (r *reader) parseYAML(data []byte) ast.Node {
	if len(data) > maxFileSize {
		r.fault(place{}, "", "found more than %d bytes, that cannot be right", maxFileSize)
		return nil
	}
	want := strictyaml.Expect{Fields: "fields such as app, bundle and channel", Pattern: "*.map"}
	return strictyaml.Parse(data, want, func(at strictyaml.Place, message string) {
		r.fault(place{at.Line, at.Column}, "", "%s", message)
	})
}
