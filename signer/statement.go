package signer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bundlesign/bundlesign/policy"
)

// The first lines of the texts that people sign. A change of a text's form is a
// new version.
const (
	approvalTitle = "bundlesign approval v1"
	// severalTitle is of a request with several keys: who knows the first form only
	// does not sign it unseen.
	severalTitle = "bundlesign approval v2"
	thawTitle    = "bundlesign thaw v1"
)

const (
	// maxChanges is how many changed files a statement names.
	maxChanges = 40
	// maxStatementName is how much of a file's name it shows, in bytes.
	maxStatementName = 120
)

// statement is the text that people sign to have a request signed: all that
// matters about it, one fact a line. Nothing that a requester chose can look like
// a line of it: no value has a line break (see Submission.Validate and printable),
// and each stands behind the name of what it is.
func statement(r *Request) string {
	s := &r.Submission
	var b strings.Builder
	line := func(name, format string, args ...any) { fmt.Fprintf(&b, name+": "+format+"\n", args...) }
	if len(r.Also) == 0 {
		b.WriteString(approvalTitle + "\n")
	} else {
		b.WriteString(severalTitle + "\n")
	}
	if s.BreakGlass != "" {
		line("EMERGENCY", "%s", s.BreakGlass)
	}
	line("request", "%s", r.ID)
	line("app", "%s", s.AppID)
	line("channel", "%s", s.Channel)
	line("version", "%s", s.Version)
	line("digest", "sha256:%s", s.Digest)
	line("checksum format", "%s", s.Format)
	if r.FileCount > 0 {
		line("files", "%d, sha256:%s", r.FileCount, r.FilesSHA256)
	}
	line("key", "%s, %s", r.Key, r.KeyFingerprint)
	for i, k := range r.Also {
		line("also key", "%s, %s, checksum format %s", k.Key, k.KeyFingerprint, s.Also[i].Format)
	}
	line("requester", "%s", r.Requester)
	if r.Requester.Unit != "" {
		line("unit", "%q", r.Requester.Unit)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		line("label", "%q = %q", name, s.Labels[name])
	}
	line("rule", "%s", r.Decision.Rule)
	line("policy", "%s", r.Decision.PolicyHash)
	line("submitted", "%s", r.SubmittedAt.UTC().Format(time.RFC3339))
	line("expires", "%s", r.ExpiresAt.UTC().Format(time.RFC3339))
	for _, change := range r.Changes {
		line("change", "%s", change)
	}
	return b.String()
}

// changesSince says what a bundle changes, given the release before it and that
// one's files, for people.
func changesSince(last policy.Release, before, now []File) []string {
	if last.Request == "" {
		return []string{"nothing was signed for this app and channel before"}
	}
	since := fmt.Sprintf("since %s, signed %s as request %s", last.Version, last.Time.UTC().Format(time.RFC3339), last.Request)
	switch {
	case len(now) == 0:
		return []string{since + ", its digest is sha256:" + last.Digest}
	case len(before) == 0:
		return []string{since + ", which had no list of files"}
	}
	had := make(map[string]File, len(before))
	for _, f := range before {
		had[f.Name] = f
	}
	var added, changed, removed []string
	for _, f := range now {
		old, there := had[f.Name]
		delete(had, f.Name)
		switch {
		case !there:
			added = append(added, "+ "+shorten(f.Name, maxStatementName))
		case old.Digest != f.Digest:
			changed = append(changed, "~ "+shorten(f.Name, maxStatementName))
		}
	}
	for name := range had {
		removed = append(removed, "- "+shorten(name, maxStatementName))
	}
	out := []string{fmt.Sprintf("%s: %d files added, %d changed, %d removed", since, len(added), len(changed), len(removed))}
	// Each kind has a share of its own: many new files must not hide one that was
	// changed.
	for _, lines := range [][]string{changed, removed, added} {
		slices.Sort(lines)
		if most := maxChanges / 3; len(lines) > most {
			lines = append(lines[:most], fmt.Sprintf("%c and %d more", lines[0][0], len(lines)-most))
		}
		out = append(out, lines...)
	}
	return out
}

// printable reports whether an identity can be shown in one line. Its names come
// from the system and from tokens, and nobody else has looked at them.
func printable(who *policy.Identity) bool {
	text := who.User + who.Unit
	if who.Token != nil {
		text += who.Token.Issuer + who.Token.Subject
	}
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) })
}

// thawStatement is the text that people sign to lift a freeze.
func thawStatement(f *Freeze) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nfreeze: %s\n", thawTitle, f.ID)
	switch {
	case f.All:
		b.WriteString("frozen: everything\n")
	case f.AppID != "":
		fmt.Fprintf(&b, "frozen: app %s\n", f.AppID)
	default:
		fmt.Fprintf(&b, "frozen: key %s\nfingerprint: %s\n", f.Key, f.KeyFingerprint)
	}
	fmt.Fprintf(&b, "reason: %s\nby: %s\nat: %s\n", f.Reason, f.By, f.At.UTC().Format(time.RFC3339))
	return b.String()
}
