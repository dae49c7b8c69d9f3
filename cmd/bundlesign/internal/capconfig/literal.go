package capconfig

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns the value of a string literal, or of a template without substitutions (ECMA-262, 12.9.4 and
// 12.9.6). It is false for a template with some, and for escapes that are no longer allowed everywhere.
func unquote(raw string) (string, bool) {
	quote, body := raw[0], raw[1:len(raw)-1]
	if quote == '`' {
		if hasSubstitution(body) {
			return "", false
		}
		body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n")
	}
	var out strings.Builder
	var high rune // the first half of a surrogate pair
	for body != "" {
		c, size := utf8.DecodeRuneInString(body)
		if c != '\\' {
			if high != 0 {
				return "", false
			}
			out.WriteString(body[:size])
			body = body[size:]
			continue
		}
		c, n, ok := escape(body)
		if !ok {
			return "", false
		}
		body = body[n:]
		switch {
		case high != 0:
			if c = utf16.DecodeRune(high, c); c == utf8.RuneError {
				return "", false
			}
			out.WriteRune(c)
			high = 0
		case utf16.IsSurrogate(c):
			high = c
		case c >= 0:
			out.WriteRune(c)
		}
	}
	return out.String(), high == 0
}

// escape reads the escape that s begins with: the character, or -1 for a line that goes on, and its length.
func escape(s string) (c rune, n int, ok bool) {
	if len(s) < 2 {
		return 0, 0, false
	}
	switch s[1] {
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'v':
		return '\v', 2, true
	case '0':
		return 0, 2, len(s) == 2 || !isDigit(rune(s[2]))
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return 0, 0, false
	case 'x':
		return hex(s, 2, 4)
	case 'u':
		if !strings.HasPrefix(s, `\u{`) {
			return hex(s, 2, 6)
		}
		end := strings.IndexByte(s, '}')
		if end < 0 || end > 9 {
			return 0, 0, false
		}
		c, _, ok = hex(s, 3, end)
		return c, end + 1, ok && c <= utf8.MaxRune
	case '\r':
		if strings.HasPrefix(s, "\\\r\n") {
			return -1, 3, true
		}
		return -1, 2, true
	}
	c, size := utf8.DecodeRuneInString(s[1:])
	if endsLine(c) {
		c = -1
	}
	return c, 1 + size, true
}

// hex reads the hexadecimal digits from one offset to another.
func hex(s string, from, to int) (rune, int, bool) {
	if len(s) < to {
		return 0, 0, false
	}
	c, err := strconv.ParseUint(s[from:to], 16, 31)
	return rune(c), to, err == nil
}

// hasSubstitution reports whether a template's text has a ${ that is not escaped.
func hasSubstitution(body string) bool {
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '\\':
			i++
		case strings.HasPrefix(body[i:], "${"):
			return true
		}
	}
	return false
}
