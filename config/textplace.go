package config

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// placeWithin returns where in a file something stands that is at a place within
// the text of a value. The value begins at start: with its quote, with the | or >
// of a block, or with its first character.
//
// YAML changes nothing of a text but its white space, its quotes and its escapes,
// so text and file are walked together: characters that are not white follow
// each other in both in the same order.
func placeWithin(source []byte, start place, text string, at place) place {
	w := textWalk{at: start, rest: from(string(source), start)}
	w.begin()
	inText := place{1, 1}
	for _, c := range text {
		reached := inText.line > at.line || inText.line == at.line && inText.column >= at.column
		if !unicode.IsSpace(c) {
			w.skipWhite()
			if reached || w.rest == "" {
				return w.at
			}
			w.next()
		} else if w.first() == c {
			if reached {
				return w.at
			}
			w.step()
		}
		if c == '\n' {
			inText = place{inText.line + 1, 1}
		} else {
			inText.column++
		}
	}
	return w.at // the end
}

// from returns what follows a place in a text.
func from(source string, at place) string {
	for range at.line - 1 {
		_, source, _ = strings.Cut(source, "\n")
	}
	for range at.column - 1 {
		_, size := utf8.DecodeRuneInString(source)
		source = source[size:]
	}
	return source
}

// textWalk goes through the text of one value in a file.
type textWalk struct {
	at    place
	rest  string
	quote rune // ' or ", or 0
}

// first is the next character of the file, or utf8.RuneError at its end.
func (w *textWalk) first() rune {
	c, _ := utf8.DecodeRuneInString(w.rest)
	return c
}

// begin goes to the first character of the text.
func (w *textWalk) begin() {
	switch w.first() {
	case '\'', '"':
		w.quote = w.first()
		w.step()
	case '|', '>':
		for w.rest != "" && w.first() != '\n' {
			w.step()
		}
		w.step()
	}
}

// step goes one character of the file on.
func (w *textWalk) step() {
	c, size := utf8.DecodeRuneInString(w.rest)
	w.rest = w.rest[size:]
	if c == '\n' {
		w.at = place{w.at.line + 1, 1}
	} else if size > 0 {
		w.at.column++
	}
}

// skipWhite goes to the next character that is not white, nor the escape of one.
func (w *textWalk) skipWhite() {
	for w.rest != "" && (unicode.IsSpace(w.first()) || w.whiteEscape()) {
		w.next()
	}
}

// next goes past one character of the text.
func (w *textWalk) next() {
	for range w.width() {
		w.step()
	}
}

// width is how many characters of the file are the next one of the text.
func (w *textWalk) width() int {
	switch {
	case w.quote == '\'' && strings.HasPrefix(w.rest, "''"):
		return 2
	case w.quote != '"' || !strings.HasPrefix(w.rest, `\`):
		return 1
	case strings.HasPrefix(w.rest, `\x`): // section 5.7 of YAML 1.2
		return 4
	case strings.HasPrefix(w.rest, `\u`):
		return 6
	case strings.HasPrefix(w.rest, `\U`):
		return 10
	}
	return 2
}

// whiteEscape reports whether an escape follows that stands for white space.
func (w *textWalk) whiteEscape() bool {
	n := w.width()
	if w.quote != '"' || n < 2 || len(w.rest) < n {
		return false
	}
	if n == 2 {
		return strings.ContainsRune("nrt \t\n_NLP", rune(w.rest[1]))
	}
	c, err := strconv.ParseUint(w.rest[2:n], 16, 32)
	return err == nil && unicode.IsSpace(rune(c))
}
