package config

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/bundlesign/bundlesign/config/strictyaml"
)

// maxFileSize is how long a file can be, in bytes.
const maxFileSize = 1 << 20

// parseYAML returns the mapping that the file is, or nil if it is none. What it
// refuses is reported, see package strictyaml.
func parseYAML(r *report, data []byte) ast.Node {
	r.at[""] = place{1, 1}
	want := strictyaml.Expect{Fields: `fields such as those that "bundlesignd init" writes`, Pattern: "*.shop"}
	return strictyaml.Parse(data, want, func(at strictyaml.Place, message string) {
		r.errorAt(place{at.Line, at.Column}, "", "%s", message)
	})
}

func tokenPlace(t *token.Token) place {
	at := strictyaml.PlaceOf(t)
	return place{at.Line, at.Column}
}
