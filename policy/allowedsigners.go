package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

const (
	// maxAllowedSigners bounds an allowed_signers file in bytes: some ten thousand
	// keys.
	maxAllowedSigners = 1 << 20
	// maxFaults is how many faults of such a file are reported.
	maxFaults = 20

	allowedSignersField = "allowed_signers"
)

// allowedKey is a line of an allowed_signers file: a key of a person, and what it
// may be used for. It is never changed.
type allowedKey struct {
	person      string
	key         ssh.PublicKey
	namespaces  patternList // nil: all
	validAfter  time.Time   // zero: always; else from this second on
	validBefore time.Time   // zero: for ever; else up to and with this second
	line        int
}

// permits says why the key may not speak in a namespace at a time.
func (k *allowedKey) permits(namespace string, at time.Time) error {
	who := fmt.Sprintf("the key %s of %s", ssh.FingerprintSHA256(k.key), k.person)
	switch {
	case k.namespaces != nil && !k.namespaces.match(namespace):
		return fmt.Errorf("%s may not be used in the namespace %s; allowed_signers gives it %s", who, quote(namespace), quote(k.namespaces.String()))
	case !k.validAfter.IsZero() && at.Unix() < k.validAfter.Unix():
		return fmt.Errorf("%s is valid from %s only", who, k.validAfter.Format(time.RFC3339))
	case !k.validBefore.IsZero() && at.Unix() > k.validBefore.Unix():
		return fmt.Errorf("%s was valid until %s only; use a newer key", who, k.validBefore.Format(time.RFC3339))
	}
	return nil
}

// lineError is a fault at an offset of a line, in bytes.
type lineError struct {
	offset int
	err    error
}

// parseAllowedSigners reads a file as ssh-keygen(1) describes it under "ALLOWED
// SIGNERS", with these differences, all of which refuse what ssh-keygen takes:
//
//   - a principal is the name of one person: no patterns, no quotes, and one
//     principal to a line;
//   - a key stands in one line only;
//   - certificates and certificate authorities are refused;
//   - times end in Z: without, they would depend on the machine's time zone;
//   - characters that cannot be seen are refused, and so are days that are not in
//     the calendar, options without a name, and lists of namespaces that no
//     namespace matches.
//
// It returns the keys and a *[FieldError] for each fault.
func parseAllowedSigners(file []byte) (keys []*allowedKey, faults []error) {
	if len(file) > maxAllowedSigners {
		return nil, []error{&FieldError{Field: allowedSignersField, Err: fmt.Errorf("found %d bytes, want at most %d", len(file), maxAllowedSigners)}}
	}
	owners, names := make(map[string]*allowedKey), make(map[string]*allowedKey)
	number := 0
	for line := range strings.SplitSeq(string(file), "\n") {
		number++
		line = strings.TrimSuffix(line, "\r")
		key, fault := parseAllowedSigner(line)
		if key != nil {
			key.line = number
			fault = checkUnique(key, line, owners, names)
		}
		switch {
		case fault == nil && key != nil:
			keys = append(keys, key)
		case fault != nil && len(faults) == maxFaults:
			return keys, append(faults, &FieldError{Field: allowedSignersField, Line: number, Column: 1, Err: errors.New("found more faults, and stopped here")})
		case fault != nil:
			// A column counts characters, as editors do.
			column := utf8.RuneCountInString(line[:fault.offset]) + 1
			faults = append(faults, &FieldError{Field: allowedSignersField, Line: number, Column: column, Err: fault.err})
		}
	}
	return keys, faults
}

// checkUnique holds a key against those of earlier lines, and adds it to them.
func checkUnique(key *allowedKey, line string, owners, names map[string]*allowedKey) *lineError {
	start := strings.Index(line, key.person)
	secret := sameSecret(key.key)
	if first := owners[secret]; first != nil {
		if first.person == key.person {
			return &lineError{start, fmt.Errorf("found a key of %s that line %d has already; a key stands in one line only", key.person, first.line)}
		}
		return &lineError{start, fmt.Errorf("found a key for %s that line %d gives to %s; a key belongs to one person", key.person, first.line, first.person)}
	}
	folded := strings.ToLower(key.person)
	if first := names[folded]; first != nil && first.person != key.person {
		return &lineError{start, fmt.Errorf("found the name %s, and line %d has %s: are they one person? Names must differ in more than upper and lower case", key.person, first.line, first.person)}
	}
	owners[secret] = key
	if names[folded] == nil {
		names[folded] = key
	}
	return nil
}

// parseAllowedSigner reads one line: nil, nil if it is blank or a comment.
func parseAllowedSigner(line string) (*allowedKey, *lineError) {
	if at := strings.IndexFunc(line, isInvisible); at >= 0 {
		c, _ := utf8.DecodeRuneInString(line[at:])
		return nil, &lineError{at, fmt.Errorf("found the character %+q, which cannot be seen; want plain text in UTF-8 without a byte order mark", c)}
	}
	s := &lineScanner{line: line}
	s.blanks()
	if s.done() || s.rest()[0] == '#' {
		return nil, nil
	}
	key := new(allowedKey)
	var fault *lineError
	if key.person, fault = parsePrincipal(s); fault != nil {
		return nil, fault
	}
	s.blanks()
	if !s.done() && !isKeyType(s.peek()) {
		if fault := parseSignerOptions(s, key); fault != nil {
			return nil, fault
		}
		s.blanks()
	}
	if key.key, fault = parseSignerKey(s); fault != nil {
		return nil, fault
	}
	return key, nil // a comment follows, or nothing
}

// isInvisible is true of what would show a reader another text than the one that
// counts, such as line ends that are none, and of bytes that are not UTF-8.
func isInvisible(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) && c != '\t' }

// isKeyType tells the name of a type of key from an option. Everything that OpenSSH
// has known for keys is one, so that what we do not take gets the right reason.
func isKeyType(word string) bool {
	return signatureFormats(word) != nil || word == "ssh-dss" || strings.HasSuffix(word, certSuffix)
}

func parsePrincipal(s *lineScanner) (string, *lineError) {
	start := s.offset
	word := s.word()
	if strings.Contains(word, ",") {
		return "", &lineError{start, fmt.Errorf("found %s, want one name: a key belongs to one person, and a person has one name", quote(word))}
	}
	if err := checkPersonName(word); err != nil {
		return "", &lineError{start, err}
	}
	return word, nil
}

func parseSignerKey(s *lineScanner) (ssh.PublicKey, *lineError) {
	start := s.offset
	keyType := s.word()
	if keyType == "" {
		return nil, &lineError{start, errors.New("found no key, want its type and its base64 form after the name and the options")}
	}
	if err := checkKeyType(keyType); err != nil {
		return nil, &lineError{start, err}
	}
	s.blanks()
	start = s.offset
	wire, err := decodeKey(s.word())
	if err != nil {
		return nil, &lineError{start, err}
	}
	key, err := parseKey(wire)
	if err != nil {
		return nil, &lineError{start, err}
	}
	if key.Type() != keyType {
		return nil, &lineError{start, fmt.Errorf("found a key of type %s behind the word %s", key.Type(), keyType)}
	}
	return key, nil
}

// lineScanner goes through a line. Its offset is never beyond the end.
type lineScanner struct {
	line   string
	offset int
}

func (s *lineScanner) rest() string { return s.line[s.offset:] }

func (s *lineScanner) done() bool { return s.offset == len(s.line) }

func (s *lineScanner) blanks() {
	s.offset = len(s.line) - len(strings.TrimLeft(s.rest(), " \t"))
}

// peek returns what is before the next blank.
func (s *lineScanner) peek() string {
	if end := strings.IndexAny(s.rest(), " \t"); end >= 0 {
		return s.rest()[:end]
	}
	return s.rest()
}

func (s *lineScanner) word() string {
	word := s.peek()
	s.offset += len(word)
	return word
}
