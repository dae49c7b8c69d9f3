package config

import (
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/policy"
)

// TestAnyTextSurvives writes texts of every printable kind and reads them back.
func TestAnyTextSurvives(t *testing.T) {
	printable := rapid.StringOfN(rapid.RuneFrom([]rune(`"'\#*&!|>{}[],:-?%@~ =<`), unicode.L, unicode.P, unicode.S, unicode.N).
		Filter(func(c rune) bool { return unicode.IsPrint(c) && c != unicode.ReplacementChar }), 1, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		name := printable.Draw(t, "name")
		glob := policy.Glob(printable.Draw(t, "glob"))
		want := PolicyFile{Rules: []Rule{{
			Name: name, Apps: []policy.Glob{glob, "x"}, Effect: policy.Deny, Message: printable.Draw(t, "message"),
		}}}
		for _, comment := range []func(string) string{nil, manual} {
			text := render(&want, comment)
			var got PolicyFile
			r := newReport("policy.yaml")
			decode(r, text, &got)
			if len(r.errs) > 0 {
				t.Fatalf("found %v in\n%s", r.errs, text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got)\n%s\n%s", diff, text)
			}
		}
	})
}

// TestUnreadableFile is about a message alone: root, as whom tests may run, can
// read everything.
func TestUnreadableFile(t *testing.T) {
	for private, want := range map[bool]string{
		false: `found /etc/it's, which uid 54321 may not read: chmod a+r '/etc/it'\''s'`,
		true:  `found /etc/it's, which uid 54321 may not read: chown 54321 '/etc/it'\''s'`,
	} {
		if err := (trust{uid: 54321}).explain("/etc/it's", private, unix.EACCES); err.Error() != want {
			t.Errorf("found %v, want %q", err, want)
		}
	}
}
