package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
)

// change is what became of a file.
type change struct {
	mark byte // one of the marks
	name string
}

// The marks, as in statements, and of a file that stayed as it was.
const (
	markChanged = '~'
	markRemoved = '-'
	markAdded   = '+'
	markSame    = '='
)

// shownChanges is how many changed files are shown unasked.
const shownChanges = 24

// compareFiles says what became of each file, sorted by name. The digests are
// lower-case.
func compareFiles(before, now []wire.File) []change {
	had := make(map[string]string, len(before))
	for _, f := range before {
		had[f.FileName] = f.Digest
	}
	out := make([]change, 0, len(now))
	for _, f := range now {
		old, there := had[f.FileName]
		delete(had, f.FileName)
		switch {
		case !there:
			out = append(out, change{markAdded, f.FileName})
		case !strings.EqualFold(old, f.Digest):
			out = append(out, change{markChanged, f.FileName})
		default:
			out = append(out, change{markSame, f.FileName})
		}
	}
	for name := range had {
		out = append(out, change{markRemoved, name})
	}
	slices.SortFunc(out, func(a, b change) int { return strings.Compare(a.name, b.name) })
	return out
}

func count(all []change, mark byte) (n int) {
	for _, c := range all {
		if c.mark == mark {
			n++
		}
	}
	return n
}

// countLine counts what changed.
func countLine(all []change) string {
	return fmt.Sprintf("files: %d changed, %d removed, %d added, %d as before",
		count(all, markChanged), count(all, markRemoved), count(all, markAdded), count(all, markSame))
}

// changeLines lists what changed, at most so many lines. Each kind has a share of
// its own: many new files must not hide one that was changed.
func changeLines(all []change, most int) string {
	var b strings.Builder
	for _, mark := range []byte{markChanged, markRemoved, markAdded} {
		n, shown := count(all, mark), 0
		for _, c := range all {
			if c.mark != mark {
				continue
			}
			if shown++; shown > most/3 && n > most/3 {
				fmt.Fprintf(&b, "%c and %d more\n", mark, n-shown+1)
				break
			}
			fmt.Fprintf(&b, "%c %s\n", mark, oneLine(c.name))
		}
	}
	return b.String()
}

// oneLine keeps a name from looking like two of them.
func oneLine(name string) string { return strings.ReplaceAll(name, "\n", `\n`) }

// allLines lists every file.
func allLines(all []change) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%c %s\n", c.mark, oneLine(c.name))
	}
	return b.String()
}
