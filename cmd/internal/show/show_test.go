package show_test

import (
	"testing"

	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ümlaut 日本":    "plain text, ümlaut 日本",
		"two\nlines":               `two\nlines`,
		"\x1b[2Jcleared":           `\x1b[2Jcleared`,
		"right-to-left \u202eevil": `right-to-left \u202eevil`,
		"bad \xff utf-8":           "bad \ufffd utf-8",
		"":                         "",
	} {
		if found := show.Printable(in); found != want {
			t.Errorf("%q: found %q, want %q", in, found, want)
		}
	}
}

func TestTableHasNoWhiteSpaceAtLineEnds(t *testing.T) {
	var tab show.Table
	tab.Row("a", "")
	tab.Row("long name", "x\ty")
	if found, want := tab.String(), "a\nlong name  x\\ty\n"; found != want {
		t.Errorf("found %q, want %q", found, want)
	}
}
