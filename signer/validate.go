package signer

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
)

// Bounds of a submission, in bytes unless they say otherwise.
const (
	maxChannel    = 128
	maxVersion    = 128
	maxFileName   = 1024
	maxLabels     = 32 // labels
	maxLabelKey   = 64
	maxLabelValue = 256
	maxIdemKey    = 128
	maxKeyName    = 63
)

// semver is the grammar of Semantic Versioning 2.0.0, from its own section
// "Is there a suggested regular expression".
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)

// Validate checks the form of a submission, and that it has at most maxFiles
// files, each counted once for each key. An error is an [*Error] of [KindInvalid] that names the field.
func (s *Submission) Validate(maxFiles int) error {
	if err := policy.CheckAppID(s.AppID); err != nil {
		return invalid("/app_id", "%v", err)
	}
	if err := checkName(s.Channel, maxChannel); err != nil {
		return invalid("/channel", "%v, want the name of a channel such as \"production\"", err)
	}
	if len(s.Version) > maxVersion {
		return invalid("/version", "found %d bytes, want at most %d", len(s.Version), maxVersion)
	}
	if !semver.MatchString(s.Version) {
		hint := ""
		if strings.HasPrefix(s.Version, "v") {
			hint = ", without the leading v"
		}
		return invalid("/version", "found %q, want a semantic version such as 1.4.0 or 1.4.0-rc.1%s", s.Version, hint)
	}
	if s.Digest == (capgo.Digest{}) {
		return invalid("/digest", "found only zeros, want the SHA-256 of the plain zip")
	}
	if _, err := capgo.ParseChecksumFormat(string(s.Format)); err != nil {
		return invalid("/checksum_format", "%v", err)
	}
	if len(s.Key) > maxKeyName {
		return invalid("/key", "found %d bytes, want the name of a key, which has at most %d", len(s.Key), maxKeyName)
	}
	if err := checkAlso(s.Key, s.Also); err != nil {
		return err
	}
	if err := checkLabels(s.Labels); err != nil {
		return err
	}
	if s.BreakGlass != "" {
		if err := checkReason(s.BreakGlass); err != nil {
			return invalid("/break_glass", "%v", err)
		}
	}
	if keys := 1 + len(s.Also); keys > 1 && len(s.Files)*keys > maxFiles {
		return invalid("/files", "found %d files for %d keys, want at most %d signatures of files in one request", len(s.Files), keys, maxFiles)
	}
	return checkFiles(s.Files, maxFiles)
}

// checkName accepts one line of printable text without a slash or white space
// at its ends.
func checkName(s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("found nothing")
	case len(s) > limit:
		return fmt.Errorf("found %d bytes, at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("found %q, which is not valid UTF-8", s)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("found %q with white space at its ends", s)
	}
	for _, c := range s {
		if c == '/' || c == '\\' {
			return fmt.Errorf("found %q, which has a slash", s)
		}
		if !unicode.IsPrint(c) {
			return fmt.Errorf("found %q, which has a character that cannot be printed", s)
		}
	}
	return nil
}

// checkAlso checks the names and forms of further keys. Whether two names are of one
// key is for the keyring to say.
func checkAlso(first string, also []AlsoKey) error {
	if len(also) > MaxAlso {
		return invalid("/also", "found %d further keys, want at most %d", len(also), MaxAlso)
	}
	seen := map[string]string{first: "/key"} // "" is nobody's name
	for i, k := range also {
		field := fmt.Sprintf("/also/%d/key", i)
		if err := checkName(k.Key, maxKeyName); err != nil {
			return invalid(field, "%v, want the name of a key", err)
		}
		if where, dup := seen[k.Key]; dup {
			return invalid(field, "found %q, which is %s already: want each key once", k.Key, where)
		}
		seen[k.Key] = field
		if _, err := capgo.ParseChecksumFormat(string(k.Format)); err != nil {
			return invalid(fmt.Sprintf("/also/%d/checksum_format", i), "%v", err)
		}
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid("/labels", "found %d labels, want at most %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		if err := checkName(k, maxLabelKey); err != nil {
			return invalid("/labels", "name of a label: %v", err)
		}
		if len(v) > maxLabelValue || !utf8.ValidString(v) || strings.ContainsFunc(v, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return invalid("/labels", "value of %q: want at most %d bytes of UTF-8 that can be printed", k, maxLabelValue)
		}
	}
	return nil
}

func checkFiles(files []File, limit int) error {
	if len(files) > limit {
		return invalid("/files", "found %d files, want at most %d", len(files), limit)
	}
	seen := make(map[string]int, len(files))
	for i, f := range files {
		field := fmt.Sprintf("/files/%d/file_name", i)
		if err := checkFileName(f.Name); err != nil {
			return invalid(field, "%v", err)
		}
		if first, dup := seen[f.Name]; dup {
			return invalid(field, "found %q, which is /files/%d already", f.Name, first)
		}
		seen[f.Name] = i
		if f.Digest == (capgo.Digest{}) {
			return invalid(fmt.Sprintf("/files/%d/digest", i), "found only zeros, want the SHA-256 of the plain file")
		}
	}
	return nil
}

// checkFileName accepts a relative path that stays inside the bundle. The
// updater refuses a space in a name.
func checkFileName(name string) error {
	if name == "" || len(name) > maxFileName || !utf8.ValidString(name) {
		return fmt.Errorf("found %d bytes, want 1 to %d bytes of UTF-8", len(name), maxFileName)
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' || c == '\\' }) {
		return fmt.Errorf("found %q, want a name without spaces, backslashes and characters that cannot be printed", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("found %q, want a relative path without empty parts, \".\" and \"..\"", name)
		}
	}
	return nil
}

func checkIdempotencyKey(key string) error {
	if key == "" {
		return nil
	}
	if err := checkName(key, maxIdemKey); err != nil {
		return invalid("/Idempotency-Key", "%v", err)
	}
	return nil
}
