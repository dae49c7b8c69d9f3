package strictyaml

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
)

// parse returns what was refused, one line for each, and whether there is a result.
func parse(text string) (faults string, ok bool) {
	var all []string
	node := Parse([]byte(text), Expect{Fields: "fields such as app", Pattern: "*.shop"}, func(at Place, message string) {
		all = append(all, fmt.Sprintf("%d:%d: %s", at.Line, at.Column, message))
	})
	return strings.Join(all, "\n"), node != nil
}

func TestParseTakesPlainYAML(t *testing.T) {
	for _, text := range []string{"app: a\n", "---\napp: a\n...\n", "app: [a, \"*.b\"] # a comment\nlabels:\n  x: |\n    y\n"} {
		if faults, ok := parse(text); !ok || faults != "" {
			t.Errorf("%q: found %v and %q", text, ok, faults)
		}
	}
	node := Parse([]byte("\napp: a"), Expect{}, func(Place, string) { t.Error("found a fault") })
	if m, ok := node.(*ast.MappingNode); !ok || PlaceOf(m.Values[0].Value.GetToken()) != (Place{2, 6}) {
		t.Errorf("found %#v, want a mapping with a value at 2:6", node)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "1:1: found nothing but comments, want fields such as app",
		"# only a comment":                       "1:1: found nothing but comments",
		"app: &a b":                              "1:6: found an anchor (&)",
		"app: *.shop":                            "1:6: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as \"*.shop\"",
		"a: {<<: b}":                             "found a merge key (<<)",
		"app: !!str a":                           "1:6: found a tag (!!str)",
		"%YAML 1.2\n---\napp: a":                 "1:1: found a directive (%)",
		"app: a\n---\nb: c":                      "2:1: found a second document (---)",
		"app: a\n...\nb: c":                      "found a second document",
		"app: [a":                                "not valid YAML: ",
		"app: \xff":                              "1:6: found the byte 0xff, which is not UTF-8",
		"\ufeffapp: a":                           "1:1: found a byte order mark",
		"app: a\rb: c":                           "1:7: found the control character U+000D",
		"app: \x00":                              "1:6: found the control character U+0000",
		strings.Repeat("[", MaxNesting+1):        "found more than 20 levels of nesting",
		strings.Repeat("- ", MaxNesting+1) + "a": "found more than 20 levels of nesting",
		strings.Repeat("a: b\n", MaxEntries+1):   "found more than 20000 fields in one file",
		"{" + strings.Repeat("a: b, ", MaxEntries+1) + "a: b": "found more than 20000 fields in one file",
	} {
		faults, _ := parse(text)
		if !strings.Contains(faults, want) {
			t.Errorf("%.40q: found %q, want %q", text, faults, want)
		}
	}
}
