package delta

import (
	"fmt"
	"path"
	"strings"
)

// globs are patterns of names. As in the official CLI's --no-brotli-patterns, "*"
// stays within a part of a name and "**" stands for any number of parts. Other
// than there, a pattern without "/" is about the last part of a name in any
// folder: "*.wasm" means all of them.
type globs []string

// check refuses what is no pattern, which would match nothing.
func (g globs) check() error {
	for _, pattern := range g {
		if pattern == "" {
			return fmt.Errorf("no-brotli pattern: found an empty one, want one such as *.wasm or assets/**")
		}
		if strings.ContainsAny(pattern, "{}()!,") {
			return fmt.Errorf("no-brotli pattern %q: found one of {}()!, in it, want one pattern with only *, **, ? and [a-z]; give several patterns one by one", pattern)
		}
		for part := range strings.SplitSeq(pattern, "/") {
			if _, err := path.Match(part, ""); err != nil {
				return fmt.Errorf("no-brotli pattern %q: %w", pattern, err)
			}
		}
	}
	return nil
}

func (g globs) match(name string) bool {
	parts := strings.Split(name, "/")
	for _, pattern := range g {
		if !strings.Contains(pattern, "/") && pattern != "**" {
			pattern = "**/" + pattern
		}
		if matchParts(strings.Split(pattern, "/"), parts) {
			return true
		}
	}
	return false
}

// matchParts matches part by part. It keeps a row of what the patterns so far
// reach, so that many "**" take no longer than their number.
func matchParts(patterns, parts []string) bool {
	reached := make([]bool, len(parts)+1)
	reached[0] = true
	for _, p := range patterns {
		next := make([]bool, len(parts)+1)
		for i := range reached {
			if p == "**" {
				next[i] = reached[i] || i > 0 && next[i-1]
			} else if i > 0 && reached[i-1] {
				next[i], _ = path.Match(p, parts[i-1]) // check has seen that it is a pattern
			}
		}
		reached = next
	}
	return reached[len(parts)]
}
