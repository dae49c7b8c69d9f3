package webapp

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxName is the longest name of a file, in bytes: PATH_MAX of iOS, where no
	// longer path can be opened.
	maxName = 1024
	// maxPart is the longest part of a name between slashes, in bytes: NAME_MAX of
	// the file systems of both kinds of phones.
	maxPart = 255
)

// nameProblem says why no phone should be given a file of that name, or nothing.
// The updater itself refuses backslashes, NUL, and what leads out of its folder.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "found an empty name"
	case len(name) > maxName:
		return fmt.Sprintf("found a name of %d bytes, want at most %d, as iOS does", len(name), maxName)
	case !utf8.ValidString(name):
		return "found a name that is no valid UTF-8"
	case strings.ContainsRune(name, '\\'):
		return `found a backslash in the name; want "/" between folders, as the updater does`
	case strings.HasPrefix(name, "/"):
		return "found an absolute name, want one relative to the app"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "found a control character in the name"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return `found "//" in the name`
		case part == "." || part == "..":
			return fmt.Sprintf("found %q in the name, which can lead out of the app", part)
		case len(part) > maxPart:
			return fmt.Sprintf("found a part of %d bytes in the name, want at most %d, as phones do", len(part), maxPart)
		}
	}
	return ""
}

// A clash is two names of which a phone keeps one.
type clash struct {
	name, other string
	why         string
}

// findClash looks for names that are one and the same to a file system that does not
// tell apart how accents are written (as APFS of iOS), and for a file that is a folder as
// well. The names are sorted.
func findClash(names []string) *clash {
	seen := make(map[string]string, len(names))
	for _, name := range names {
		key := norm.NFC.String(name)
		if other, found := seen[key]; found {
			why := "the same name again"
			if other != name {
				why = "the same name but for how Unicode composes it: iOS keeps one of the two"
			}
			return &clash{name, other, why}
		}
		seen[key] = name
	}
	for _, name := range names {
		key := norm.NFC.String(name)
		for i := range len(key) {
			if key[i] != '/' {
				continue
			}
			if other, found := seen[key[:i]]; found {
				return &clash{name, other, "a folder by one name and a file by the other: phones fail on it"}
			}
		}
	}
	return nil
}

// alike returns the pairs of names that are equal but for case.
func alike(files []File) (pairs [][2]string) {
	seen := make(map[string]string, len(files))
	for _, f := range files {
		key := strings.ToLower(norm.NFC.String(f.Name))
		if other, found := seen[key]; found {
			pairs = append(pairs, [2]string{other, f.Name})
			continue
		}
		seen[key] = f.Name
	}
	return pairs
}
