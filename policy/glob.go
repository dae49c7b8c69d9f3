package policy

import (
	"errors"
	"fmt"
	"unicode"
)

// Glob is a pattern over app ids, channels and names: "*" stands for any run of
// characters, the empty one included, and everything else for itself. There
// are no other special characters.
//
// Bytes are compared: "Shop" is not "shop", a Cyrillic "о" is not a Latin "o", and
// "é" in one code point (NFC) is not "e" with a combining accent (NFD), although
// they look the same. Nothing is folded or normalized, so no two names can be
// taken for each other; the one that no rule has is denied.
type Glob string

// maxGlob is the longest pattern in bytes, and more than any name can have.
const maxGlob = 256

func (g Glob) check() error {
	if g == "" {
		return errors.New(`found an empty pattern, want a name or a pattern such as "com.acme.*"`)
	}
	if len(g) > maxGlob {
		return fmt.Errorf("found a pattern of %d bytes, want at most %d", len(g), maxGlob)
	}
	for _, c := range g {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return fmt.Errorf("found %q, which has a character that cannot be printed", string(g))
		}
		if c == '?' || c == '[' || c == ']' || c == '{' || c == '}' || c == '\\' {
			return fmt.Errorf("found %q, in which %q would stand for itself; the only special character is *", string(g), c)
		}
	}
	return nil
}

// Match reports whether the whole of s fits the pattern, in time proportional
// to len(g) * len(s) at worst.
func (g Glob) Match(s string) bool {
	p := string(g)
	pi, si := 0, 0
	star, mark := -1, 0 // the last * and what of s it has eaten up to
	for si < len(s) {
		switch {
		case pi < len(p) && p[pi] == '*':
			star, mark = pi, si
			pi++
		case pi < len(p) && p[pi] == s[si]:
			pi++
			si++
		case star >= 0:
			mark++
			pi, si = star+1, mark
		default:
			return false
		}
	}
	for pi < len(p) && p[pi] == '*' {
		pi++
	}
	return pi == len(p)
}

// anyMatch reports whether one of the patterns matches; an empty list does.
func anyMatch(globs []Glob, s string) bool { return len(globs) == 0 || anyOf(globs, s) }

// anyOf reports whether one of the patterns matches; an empty list does not.
func anyOf(globs []Glob, s string) bool {
	for _, g := range globs {
		if g.Match(s) {
			return true
		}
	}
	return false
}

// anyOfAny reports whether one of the patterns matches one of the names.
func anyOfAny(globs []Glob, names []string) bool {
	for _, s := range names {
		if anyOf(globs, s) {
			return true
		}
	}
	return false
}
