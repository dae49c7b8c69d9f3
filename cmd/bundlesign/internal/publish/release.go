package publish

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/bundlesign/bundlesign/capgo"
)

// The rules of the Capgo API for names (isValidAppId and isValidSemver of its
// published code), by which the official CLI and its update server go as well.
// A version is one of semver.org 2.0.0, without a leading "v".
var (
	appID  = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9_-]+)+$`)
	semver = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)` +
		`(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?` +
		`(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

// CheckVersion reports whether phones and the Capgo API take v as a version.
func CheckVersion(v string) error {
	switch {
	case v == "":
		return errors.New("version: found nothing, want a semantic version such as 1.4.0")
	case semver.MatchString(v):
		return nil
	case strings.HasPrefix(v, "v") || strings.HasPrefix(v, "V"):
		return fmt.Errorf("version: found %q, want it without the leading %q", v, v[:1])
	}
	return fmt.Errorf("version: found %q, want a semantic version such as 1.4.0 or 1.4.0-beta.1", v)
}

// CheckApp reports whether id is an app id.
func CheckApp(id string) error {
	if !appID.MatchString(id) {
		return fmt.Errorf("app: found %q, want a reversed domain such as com.acme.shop", id)
	}
	return nil
}

// CheckChannel reports whether the official CLI takes name for one channel. It
// would take "a,b" for two, and publish to both.
func CheckChannel(name string) error {
	switch {
	case name == "" || name != strings.TrimSpace(name):
		return fmt.Errorf("channel: found %q, want a name without white space around it", name)
	case strings.Contains(name, ","):
		return fmt.Errorf("channel: found %q, which the official CLI takes for several channels; want a name without commas", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("channel: found %q with a control character in it", name)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("channel: found %q, which the official CLI takes for an option", name)
	}
	return nil
}

// checkSigned reports whether a checksum and a session key have the form that
// phones and this program write. It does not tell who made them.
func checkSigned(checksum, sessionKey string) (capgo.ChecksumFormat, error) {
	_, format, err := capgo.ParseChecksum(checksum)
	if err != nil {
		return "", err
	}
	wrapped, err := capgo.ParseWrappedKey(sessionKey)
	if err != nil {
		return "", fmt.Errorf("session key: %w", err)
	}
	if wrapped.String() != sessionKey {
		return "", errors.New("session key: found an unusual spelling of base64, want it as it was signed")
	}
	return format, nil
}
