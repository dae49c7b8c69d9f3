package main

import (
	"strings"
	"testing"
)

// However a value is padded, no line of the terminal begins like one of the
// statement, and nothing is lost.
func TestFramedTextCannotFakeALine(t *testing.T) {
	for _, width := range []int{0, 20, 40, 80, 200} {
		for pad := range 100 {
			for _, space := range []string{" ", "\u3042", "-"} { // a wide one, and one that cannot be broken at
				text := "request: 1\nlabel: x = " + strings.Repeat(space, pad) + "digest: sha256:0000\nend: 1\n"
				shown := framed(text, width)
				for line := range strings.Lines(shown) {
					line = strings.TrimSuffix(line, "\n")
					columns := 0
					for _, c := range line {
						if columns++; c >= 0x80 {
							columns++
						}
					}
					if columns > max(width, minWidth) {
						t.Fatalf("width %d, pad %d: the terminal would break %q", width, pad, line)
					}
					if strings.HasPrefix(line, "|digest") || !strings.HasPrefix(line, lineMark) {
						t.Fatalf("width %d, pad %d: it shows\n%s", width, pad, shown)
					}
				}
				if found := strings.ReplaceAll(strings.ReplaceAll(shown, "\n"+foldMark, ""), lineMark, ""); found != text {
					t.Fatalf("width %d: found %q, want %q", width, found, text)
				}
			}
		}
	}
}

func TestDigestStaysInOnePiece(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	shown := framed("digest: "+digest+"\n", 80)
	if !strings.Contains(shown, digest) {
		t.Errorf("it is broken:\n%s", shown)
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"plain":         "plain",
		"/tmp/a.b-c":    "/tmp/a.b-c",
		"-rf":           "'-rf'",
		"two words":     "'two words'",
		"it's; rm -r ~": `'it'\''s; rm -r ~'`,
		"":              "''",
		"$(x)\n":        "'$(x)\n'",
	} {
		if found := shellWord(in); found != want {
			t.Errorf("%q: found %s, want %s", in, found, want)
		}
	}
}
