package client

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
)

// The first lines of the texts that people sign. Another text, or another version
// of it, is not signed: it may mean what this client does not know.
const (
	ApprovalTitle = "bundlesign approval v1"
	// SeveralTitle is of a request with several keys.
	SeveralTitle = "bundlesign approval v2"
	ThawTitle    = "bundlesign thaw v1"
)

const (
	maxStatement     = 64 << 10 // bytes
	maxStatementLine = 4 << 10  // bytes
)

// CheckStatement returns the text that approves, or rejects, a request, if it is
// safe to show it and to sign it. An error is an [*UntrustedError].
//
// What is signed is what the person sees: plain lines of printable text, with
// nothing in them that a terminal would hide, reorder or obey. What it says of
// the request is what the rest of the answer says of it, once. It does not make
// the daemon honest about what will run on phones; only the person who knows the
// digest can.
func CheckStatement(sig *wire.Signature) (string, error) {
	if sig.State != StatePending {
		return "", fmt.Errorf("request %s is %s: only a pending request can be approved or rejected", quote(sig.ID), quote(sig.State))
	}
	facts := []fact{
		{"request", sig.ID},
		{"app", sig.AppID},
		{"channel", sig.Channel},
		{"version", sig.Version},
		{"digest", "sha256:" + strings.ToLower(sig.Digest)},
	}
	if sig.BreakGlass != "" {
		facts = append(facts, fact{"EMERGENCY", sig.BreakGlass})
	}
	title := ApprovalTitle
	if len(sig.Also) > 0 {
		title = SeveralTitle
	}
	if err := checkText(sig.Statement, title, facts); err != nil {
		return "", err
	}
	if err := checkKeys(sig); err != nil {
		return "", err
	}
	if sig.BreakGlass == "" && strings.Contains(sig.Statement, "\nEMERGENCY:") {
		return "", untrusted("statement", "found an emergency in it, but the request is none")
	}
	return sig.Statement, nil
}

// checkKeys checks that the statement of a request names the further keys which the
// rest of the answer names, and no others.
func checkKeys(sig *wire.Signature) error {
	const part = "statement"
	said := values(sig.Statement, "also key")
	if len(said) != len(sig.Also) {
		return untrusted(part, "it names %d further keys, but the rest of the answer %d", len(said), len(sig.Also))
	}
	if len(said) == 0 {
		return nil
	}
	for i, k := range sig.Also {
		want, err := keyText(k.Key, k.PublicKey, said[i])
		if err != nil {
			return err
		}
		want += ", checksum format " + k.ChecksumFormat
		if said[i] != want {
			return untrusted(part, "it says also key %s, but the rest of the answer says %s", quote(said[i]), quote(want))
		}
	}
	first, err := keyText(sig.Key, sig.PublicKey, strings.Join(values(sig.Statement, "key"), ""))
	if err != nil {
		return err
	}
	return checkFacts(sig.Statement, []fact{{"key", first}, {"checksum format", sig.ChecksumFormat}})
}

// keyText is how a statement is to name a key, by the rest of the answer. A daemon
// that has the key no more does not say its public key; the fingerprint is then taken
// as the statement says it, for the person to see, as it is for a request with one key.
func keyText(name, publicKey, said string) (string, error) {
	if publicKey == "" {
		fingerprint, _, _ := strings.Cut(strings.TrimPrefix(said, name+", "), ", ")
		return name + ", " + fingerprint, nil
	}
	public, err := capgo.ParsePublicKeyPEM([]byte(publicKey))
	if err != nil {
		return "", untrusted("public_key", "that of key %s: %w", quote(name), err)
	}
	return name + ", " + public.Fingerprint(), nil
}

// values are those of all lines "name: value" of a text, but for its title.
func values(text, name string) (found []string) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+":"); ok {
			found = append(found, strings.TrimPrefix(value, " "))
		}
	}
	return found
}

// CheckThaw returns the text that lifts a freeze, as [CheckStatement] does.
func CheckThaw(f *wire.Freeze) (string, error) {
	frozen := "everything"
	switch {
	case f.All:
	case f.AppID != "":
		frozen = "app " + f.AppID
	default:
		frozen = "key " + f.Key
	}
	facts := []fact{{"freeze", f.ID}, {"frozen", frozen}, {"reason", f.Reason}}
	if err := checkText(f.Statement, ThawTitle, facts); err != nil {
		return "", err
	}
	return f.Statement, nil
}

// fact is a line "name: value" of a statement.
type fact struct{ name, value string }

// checkText checks that a text can be read, and that it states each fact once.
func checkText(text, title string, facts []fact) error {
	const part = "statement"
	switch {
	case text == "":
		return untrusted(part, "found none")
	case len(text) > maxStatement:
		return untrusted(part, "found %d bytes, want at most %d", len(text), maxStatement)
	case !utf8.ValidString(text):
		return untrusted(part, "found what is not UTF-8")
	}
	body, ended := strings.CutSuffix(text, "\n")
	if !ended {
		return untrusted(part, "its last line has no end")
	}
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if len(line) > maxStatementLine {
			return untrusted(part, "line %d has %d bytes, want at most %d", i+1, len(line), maxStatementLine)
		}
		for _, c := range line {
			if !unicode.IsPrint(c) { // the text is UTF-8: U+FFFD is itself
				return untrusted(part, "line %d has the character %U, which cannot be seen", i+1, c)
			}
		}
	}
	if lines[0] != title {
		return untrusted(part, "it begins with %s, want %q: is this client of the daemon's version?", quote(lines[0]), title)
	}
	return checkFacts(text, facts)
}

// checkFacts checks that a text states each fact, once.
func checkFacts(text string, facts []fact) error {
	const part = "statement"
	for _, f := range facts {
		found := values(text, f.name)
		switch {
		case len(found) != 1:
			return untrusted(part, "found %d lines %q, want one", len(found), f.name)
		case found[0] != f.value:
			return untrusted(part, "it says %s %s, but the rest of the answer says %s", f.name, quote(found[0]), quote(f.value))
		}
	}
	return nil
}
