package config

import (
	"fmt"
	"strings"
	"testing"
)

// The fault is where "oops" is, however the expression is written in the file.
func TestConditionFaultsHaveTheirPlace(t *testing.T) {
	for name, c := range map[string]struct {
		text         string
		line, column int
	}{
		"plain":                  {"when: now > oops\n", 1, 13},
		"single quotes":          {"when: 'request.app == \"a''b\" && oops'\n", 1, 33},
		"double quotes":          {`when: "request.app == \"ab\" && oops"` + "\n", 1, 33},
		"double, other escapes":  {`when: "request.app == \"\\n\u00e9\" || oops"` + "\n", 1, 40},
		"other alphabets before": {"when: request.app == 'äöü' && oops\n", 1, 31},
		"on the next line":       {"when:\n  now > oops\n", 2, 9},
		"plain, several lines":   {"when: request.app == 'x' &&\n    oops\n", 2, 5},
		"quoted, several lines":  {"when: \"request.app == 'x' &&\n\n    oops\"\n", 3, 5},
		"block":                  {"when: |\n    request.app == 'x' &&\n\n      oops\n", 4, 7},
		"block with a comment":   {"when: |- # why\n    oops\n", 2, 5},
		"block with a first gap": {"when: |\n\n    oops\n", 3, 5},
		"folded":                 {"when: >-\n    request.app == 'x'\n    && oops\n", 3, 8},
		"folded and kept":        {"when: >-\n    true\n      &&\n    request.app == 'x' ||  oops\n", 4, 28},
		"carriage returns":       {"when: |\r\n    true &&\r\n    oops\r\n", 3, 5},
	} {
		t.Run(name, func(t *testing.T) {
			text := "rules:\n- name: a\n  effect: deny\n" + indent(c.text)
			_, _, found := parsedPolicy(t, text)
			want := fmt.Sprintf("policy.yaml:%d:%d: rules[0].when: ", 3+c.line, 2+c.column)
			if len(found) != 1 || !strings.HasPrefix(found[0], want) {
				t.Errorf("found %q, want one fault at %s in\n%s", found, want, text)
			}
		})
	}
}

// At the end of an expression that is not finished there is nothing to point at.
func TestUnfinishedCondition(t *testing.T) {
	for _, text := range []string{"now >", "'now >'", "|\n    now >\n", ">-\n    now\n    >\n", "\"now >\"", "''"} {
		_, _, found := parsedPolicy(t, "rules:\n- name: a\n  effect: deny\n  when: "+text+"\n")
		if len(found) == 0 || !strings.HasPrefix(found[0], "policy.yaml:") || strings.HasPrefix(found[0], "policy.yaml:0") {
			t.Errorf("%q: found %q, want a fault with a place", text, found)
		}
	}
}

// indent sets lines in by two.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}

func TestConditionInAFlow(t *testing.T) {
	_, _, found := parsedPolicy(t, "rules: [{name: a, when: 'true && oops', effect: deny}]\n")
	if len(found) != 1 || !strings.HasPrefix(found[0], "policy.yaml:1:34: rules[0].when: ") {
		t.Errorf("found %q, want the place of oops", found)
	}
}

// One mistake does not hide another.
func TestEveryFaultOfACondition(t *testing.T) {
	_, _, found := parsedPolicy(t, "rules:\n- name: a\n  effect: deny\n  when: one &&\n    two\n")
	if len(found) != 2 || !strings.HasPrefix(found[0], "policy.yaml:4:9: ") || !strings.HasPrefix(found[1], "policy.yaml:5:5: ") {
		t.Errorf("found %q, want both", found)
	}
}
