package uri

import (
	"errors"
	"fmt"
	"strings"
)

// What may stand unescaped in a value beside letters, digits and "-._~":
// RFC 7512, section 2.3, pk11-path-res-avail and pk11-query-res-avail.
const (
	bothExtra  = ":[]@!$'()*+,="
	pathExtra  = bothExtra + "&"
	queryExtra = bothExtra + "/?|"

	hexDigits = "0123456789ABCDEF"
)

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func escape(s, extra string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) || strings.IndexByte(extra, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString(escapeAll(s[i : i+1]))
		}
	}
	return b.String()
}

func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte('%')
		b.WriteByte(hexDigits[s[i]>>4])
		b.WriteByte(hexDigits[s[i]&15])
	}
	return b.String()
}

// unescape decodes a value and refuses what should have been escaped. Its
// errors never repeat the value.
func unescape(s, extra string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) {
				return "", errors.New("ends inside a %XX escape")
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", errors.New("has a % that is not followed by two hexadecimal digits")
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		case unreserved(c) || strings.IndexByte(extra, c) >= 0:
			b.WriteByte(c)
		default:
			return "", fmt.Errorf("has the character %q, which must be written as %s", c, escapeAll(string(c)))
		}
	}
	return b.String(), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
