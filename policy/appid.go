package policy

import (
	"errors"
	"fmt"
	"strings"
)

// MaxAppID is the longest app id in bytes.
const MaxAppID = 255

// CheckAppID accepts what the official CLI accepts as the id of an app, a name
// in reverse-DNS form: letters and digits, then one or more parts that begin
// with a dot and have letters, digits, "_" and "-" (there it is the regular
// expression ^[a-z0-9]+(\.[\w-]+)+$ without regard to case). Letters and digits
// are ASCII; case is kept and matters. At most [MaxAppID] bytes.
func CheckAppID(id string) error {
	const want = "want an app id in reverse-DNS form such as com.acme.shop"
	if id == "" {
		return errors.New("found nothing, " + want)
	}
	if len(id) > MaxAppID {
		return fmt.Errorf("found %d bytes, want an app id of at most %d", len(id), MaxAppID)
	}
	for _, c := range id {
		if !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("found %q, in which %q is not a letter, digit, dot, hyphen or underscore; %s", id, c, want)
		}
	}
	first, rest, dotted := strings.Cut(id, ".")
	if !dotted {
		return fmt.Errorf("found %q, which has no dot; %s", id, want)
	}
	if strings.ContainsAny(first, "-_") {
		return fmt.Errorf("found %q, in which %q before the first dot has more than letters and digits; %s", id, first, want)
	}
	if first == "" || rest == "" || strings.HasSuffix(rest, ".") || strings.HasPrefix(rest, ".") || strings.Contains(rest, "..") {
		return fmt.Errorf("found %q, in which a dot has nothing before or after it; %s", id, want)
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
