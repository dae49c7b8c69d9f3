package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPlacesWithinAnyText writes texts in each style of YAML and finds each of
// their characters again.
func TestPlacesWithinAnyText(t *testing.T) {
	styles := map[string]func(string) string{
		"single quotes": func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
		"double quotes": yamlText,
		"block":         func(s string) string { return "|-\n    " + strings.ReplaceAll(s, "\n", "\n    ") },
		"folded":        func(s string) string { return ">-\n    " + strings.ReplaceAll(s, "\n", "\n\n    ") },
	}
	word := rapid.StringMatching(`[a-zé"'\\&|>(=.!?:-]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 1, 4).Draw(t, "words"), " ")
		}), 1, 3).Draw(t, "lines")
		style := rapid.SampledFrom([]string{"single quotes", "double quotes", "block", "folded"}).Draw(t, "style")
		if style == "single quotes" {
			lines = lines[:1]
		}
		text := "x" + strings.Join(lines, "\nx") // so that the double quotes are needed, and no line looks like another thing
		if style == "double quotes" {
			text += " "
		}
		source := "a: 1\nb: " + styles[style](text) + "\nc: 2\n"
		for n, line := range strings.Split(text, "\n") {
			for i, c := range []rune(line) {
				at := placeWithin([]byte(source), place{2, 4}, text, place{n + 1, i + 1})
				if c == ' ' {
					continue
				}
				if found := []rune(from(source, at)); found[0] != c && found[0] != '\\' {
					t.Fatalf("%s: character %d of line %d of %q is %q, found %q at %+v in\n%s", style, i+1, n+1, text, c, found[0], at, source)
				}
			}
		}
	})
}
