package policy

import (
	"errors"
	"fmt"
	"strings"
)

// maxPattern bounds a pattern of a list in bytes; OpenSSH's bound is 1022.
const maxPattern = 255

// patternList is a PATTERN-LIST of OpenSSH (ssh_config(5), "PATTERNS"): patterns
// in which "*" stands for any run of characters and "?" for one, separated by
// commas, and refused what matches one after an exclamation mark.
type patternList []string

// parsePatternList refuses lists that OpenSSH takes and that cannot mean what
// they say: with blanks, which would be part of a pattern, and with nothing that
// could ever match.
func parsePatternList(text string) (patternList, error) {
	list := patternList(strings.Split(text, ","))
	positive := false
	for _, pattern := range list {
		name, negated := strings.CutPrefix(pattern, "!")
		positive = positive || !negated
		switch {
		case name == "":
			return nil, fmt.Errorf("found an empty pattern in %s", quote(text))
		case len(pattern) > maxPattern:
			return nil, fmt.Errorf("found a pattern of %d bytes, want at most %d", len(pattern), maxPattern)
		case strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0:
			return nil, fmt.Errorf("found %s, want printable ASCII without blanks", quote(pattern))
		}
	}
	if !positive {
		return nil, errors.New("found exceptions (!) only, which match nothing; add the pattern that they are exceptions from, such as *")
	}
	return list, nil
}

func (l patternList) match(s string) bool {
	matched := false
	for _, pattern := range l {
		name, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(name, s) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

func (l patternList) String() string { return strings.Join(l, ",") }

// matchPattern reports whether the whole of s fits one pattern, byte by byte, in
// time proportional to len(pattern) * len(s) at worst.
func matchPattern(pattern, s string) bool {
	pi, si := 0, 0
	star, mark := -1, 0 // the last * and what of s it has eaten up to
	for si < len(s) {
		switch {
		case pi < len(pattern) && pattern[pi] == '*':
			star, mark = pi, si
			pi++
		case pi < len(pattern) && (pattern[pi] == '?' || pattern[pi] == s[si]):
			pi++
			si++
		case star >= 0:
			mark++
			pi, si = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[pi:], "*") == ""
}
