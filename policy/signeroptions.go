package policy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

const signerOptions = `namespaces="...", valid-after="..." and valid-before="..."`

// parseSignerOptions reads the options of a line, which end at a blank. As in
// OpenSSH, their names are in upper or lower case, each stands once, and a value
// is in double quotes, in which \" stands for one.
func parseSignerOptions(s *lineScanner, key *allowedKey) *lineError {
	seen := make(map[string]bool)
	for {
		start := s.offset
		name := s.rest()
		if end := strings.IndexAny(name, "=,\" \t"); end >= 0 {
			name = name[:end]
		}
		s.offset += len(name)
		folded := strings.ToLower(name)
		switch folded {
		case "namespaces", "valid-after", "valid-before":
		case "":
			return &lineError{start, errors.New("found no name of an option, want " + signerOptions)}
		case "cert-authority":
			return &lineError{start, errors.New("found cert-authority, and certificates are not supported; list each person's key")}
		default:
			return &lineError{start, fmt.Errorf("found %s, which is neither a type of key nor an option that is supported: these are %s", quote(name), signerOptions)}
		}
		if seen[folded] {
			return &lineError{start, fmt.Errorf("found %s twice", folded)}
		}
		seen[folded] = true
		if !strings.HasPrefix(s.rest(), `="`) {
			return &lineError{s.offset, fmt.Errorf("found no value in double quotes, want %s=\"...\"", folded)}
		}
		s.offset += len(`="`)
		valueStart := s.offset
		value, fault := s.quoted()
		if fault != nil {
			return fault
		}
		if err := key.setOption(folded, value); err != nil {
			return &lineError{valueStart, fmt.Errorf("%s: %w", folded, err)}
		}
		switch {
		case s.done(), strings.HasPrefix(s.rest(), " "), strings.HasPrefix(s.rest(), "\t"):
			if !key.validAfter.IsZero() && !key.validBefore.IsZero() && !key.validAfter.Before(key.validBefore) {
				return &lineError{start, errors.New("valid-before is not later than valid-after, so that the key would never be valid")}
			}
			return nil
		case s.rest()[0] != ',':
			return &lineError{s.offset, fmt.Errorf("found %s after the value of %s, want a comma or a blank", quote(s.peek()), folded)}
		}
		s.offset++
	}
}

// quoted returns the text up to the closing quote, and goes behind that.
func (s *lineScanner) quoted() (string, *lineError) {
	start := s.offset
	var value strings.Builder
	for !s.done() {
		switch rest := s.rest(); {
		case strings.HasPrefix(rest, `\"`):
			value.WriteByte('"')
			s.offset += 2
		case rest[0] == '"':
			s.offset++
			return value.String(), nil
		default:
			value.WriteByte(rest[0])
			s.offset++
		}
	}
	return "", &lineError{start, errors.New("found no closing double quote")}
}

func (k *allowedKey) setOption(name, value string) (err error) {
	switch name {
	case "namespaces":
		k.namespaces, err = parsePatternList(value)
	case "valid-after":
		k.validAfter, err = parseTimestamp(value)
	default:
		k.validBefore, err = parseTimestamp(value)
	}
	return err
}

// parseTimestamp reads YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ.
func parseTimestamp(value string) (time.Time, error) {
	const want = "want UTC in one of the forms YYYYMMDDZ, YYYYMMDDHHMMZ and YYYYMMDDHHMMSSZ"
	digits, utc := strings.CutSuffix(value, "Z")
	layout, ok := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	if !ok || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("found %s, %s", quote(value), want)
	}
	if !utc {
		return time.Time{}, fmt.Errorf("found %s, which would mean another time on a machine in another time zone; %s", quote(value), want)
	}
	t, err := time.Parse(layout, digits)
	if err != nil {
		return time.Time{}, fmt.Errorf("found %s, which is not in the calendar or on the clock; %s", quote(value), want)
	}
	if t.Unix() <= 0 {
		return time.Time{}, fmt.Errorf("found %s, want a time after 1970-01-01", quote(value))
	}
	return t, nil
}

// decodeKey reads the base64 form of a key.
func decodeKey(text string) ([]byte, error) {
	if text == "" {
		return nil, errors.New("found no key after its type, want its base64 form")
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("found a key that is not base64: %w", err)
	}
	return wire, nil
}
