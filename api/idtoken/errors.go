package idtoken

import (
	"fmt"
	"strconv"
	"time"
)

// RefusedError says why a token is not believed, in words that its bearer may
// see. It never holds the token.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "token refused: " + e.Reason }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// UnavailableError says that a token cannot be judged now, because the keys of its
// issuer are not to be had.
type UnavailableError struct {
	Issuer string        // name
	Reason string        // for the bearer; the log has the details
	Retry  time.Duration // when to try again
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the token cannot be checked now: issuer %s: %s", e.Issuer, e.Reason)
}

// maxQuoted is how much of a stranger's text an error shows, in bytes.
const maxQuoted = 200

// quote shows a text of the token's so that it cannot be taken for anything else.
func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
