package capconfig

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexeme is a token of a program (ECMA-262, clause 12), as far as it matters here.
type lexeme struct {
	kind       lexKind
	start, end int
	newline    bool // a line ends before it
	match      int  // of a bracket: the index of its partner
}

type lexKind int

const (
	wordLex     lexKind = iota // identifier or keyword
	stringLex                  // with its quotes
	templateLex                // from backtick to backtick, with what is substituted
	numberLex
	regexLex
	signLex // anything else: brackets, operators
)

// signs are the operators of several characters, the longest first. The others are taken character by character.
var signs = [...]string{"...", "===", "!==", "=>", "==", "!=", "<=", ">=", "++", "--", "&&", "||", "??", "+=", "-=", "*=", "|=", "&=", "**"}

// scanner cuts a program into lexemes. What it is not sure of is an error: a quote that is taken for the wrong thing
// would turn what follows inside out.
type scanner struct {
	src   []byte
	at    int
	out   []lexeme
	depth int // of templates
}

// scan returns the lexemes of a program, with brackets matched.
func scan(src []byte) ([]lexeme, *mark) {
	if !utf8.Valid(src) {
		return nil, &mark{0, "not UTF-8, want a text file in UTF-8"}
	}
	s := &scanner{src: src}
	if strings.HasPrefix(s.rest(), string(bom)) {
		s.at += len(bom)
	}
	if strings.HasPrefix(s.rest(), "#!") {
		s.line()
	}
	for {
		more, err := s.next()
		if err != nil {
			return nil, err
		}
		if !more {
			return s.out, pair(src, s.out)
		}
	}
}

func (s *scanner) rest() string { return string(s.src[s.at:min(len(s.src), s.at+4)]) }

// rune is the character at an offset, or utf8.RuneError at the end.
func (s *scanner) rune(at int) (rune, int) { return utf8.DecodeRune(s.src[min(at, len(s.src)):]) }

// next appends a lexeme. It returns false at the end.
func (s *scanner) next() (bool, *mark) {
	newline, err := s.space()
	if err != nil || s.at == len(s.src) {
		return false, err
	}
	l := lexeme{start: s.at, newline: newline}
	c, size := s.rune(s.at)
	switch {
	case startsName(c):
		l.kind = wordLex
		s.name()
	case c == '\\':
		return false, &mark{s.at, "a backslash in a name, want plain letters"}
	case isDigit(c), c == '.' && isDigit(s.byte(s.at+1)):
		l.kind = numberLex
		s.number()
	case c == '"', c == '\'':
		l.kind, err = stringLex, s.text(c)
	case c == '`':
		l.kind, err = templateLex, s.template()
	case c == '/':
		l.kind, err = s.slash()
	default:
		l.kind = signLex
		for _, sign := range signs {
			if strings.HasPrefix(s.rest(), sign) {
				size = len(sign)
				break
			}
		}
		s.at += size
	}
	l.end = s.at
	s.out = append(s.out, l)
	return true, err
}

func (s *scanner) byte(at int) rune {
	if at < len(s.src) {
		return rune(s.src[at])
	}
	return utf8.RuneError
}

// space skips white space and comments, and reports whether a line ended.
func (s *scanner) space() (newline bool, err *mark) {
	for s.at < len(s.src) {
		c, size := s.rune(s.at)
		head := s.rest()
		switch {
		case endsLine(c):
			newline = true
			s.at += size
		case c == '\t' || c == '\v' || c == '\f' || c == '\ufeff' || unicode.Is(unicode.Zs, c):
			s.at += size
		case strings.HasPrefix(head, "//"):
			s.line()
		case strings.HasPrefix(head, "/*"):
			i := bytes.Index(s.src[s.at+2:], []byte("*/"))
			if i < 0 {
				return false, &mark{s.at, "a comment without an end"}
			}
			newline = newline || bytes.ContainsFunc(s.src[s.at:s.at+2+i], endsLine)
			s.at += i + 4
		case head == "<!--", strings.HasPrefix(head, "-->"):
			// A comment in a script, and not in a module (ECMA-262, B.1.1).
			return false, &mark{s.at, "a comment as in HTML, want // or /* */"}
		default:
			return newline, nil
		}
	}
	return newline, nil
}

// line goes to the end of the line.
func (s *scanner) line() {
	for s.at < len(s.src) {
		c, size := s.rune(s.at)
		if endsLine(c) {
			return
		}
		s.at += size
	}
}

func endsLine(c rune) bool { return c == '\n' || c == '\r' || c == '\u2028' || c == '\u2029' }

func isDigit(c rune) bool { return '0' <= c && c <= '9' }

func startsName(c rune) bool { return c == '_' || c == '$' || unicode.IsLetter(c) }

func (s *scanner) name() {
	for s.at < len(s.src) {
		c, size := s.rune(s.at)
		if !startsName(c) && !unicode.In(c, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc) && c != '\u200c' && c != '\u200d' {
			return
		}
		s.at += size
	}
}

func (s *scanner) number() {
	for s.at++; s.at < len(s.src); {
		c, size := s.rune(s.at)
		last := s.src[s.at-1] | 0x20
		if !startsName(c) && !isDigit(c) && c != '.' && (last != 'e' || c != '+' && c != '-' || strings.HasPrefix(s.rest(), "++") || strings.HasPrefix(s.rest(), "--")) {
			return
		}
		s.at += size
	}
}

func (s *scanner) text(quote rune) *mark {
	start := s.at
	for s.at++; s.at < len(s.src); s.at++ {
		switch c := rune(s.src[s.at]); {
		case c == quote:
			s.at++
			return nil
		case c == '\\':
			s.at++
			if strings.HasPrefix(s.rest(), "\r\n") {
				s.at++
			}
		case c == '\n', c == '\r':
			return &mark{start, "a text that does not end in its line"}
		}
	}
	s.at = len(s.src)
	return &mark{start, "a text without an end"}
}

// template goes past a template. What is in its substitutions is scanned, too, because it can have quotes.
func (s *scanner) template() *mark {
	start := s.at
	if s.depth++; s.depth > maxDepth {
		return &mark{start, "too many templates within each other"}
	}
	for s.at++; s.at < len(s.src); s.at++ {
		switch {
		case s.src[s.at] == '`':
			s.at++
			s.depth--
			return nil
		case s.src[s.at] == '\\':
			s.at++
		case strings.HasPrefix(s.rest(), "${"):
			s.at += 2
			if err := s.substitution(); err != nil {
				return err
			}
		}
	}
	s.at = len(s.src)
	return &mark{start, "a template without an end"}
}

// substitution goes to the } that ends it.
func (s *scanner) substitution() *mark {
	start, outer, open := s.at, s.out, 1
	s.out = nil
	defer func() { s.out = outer }()
	for {
		more, err := s.next()
		if err != nil {
			return err
		}
		if !more {
			return &mark{start, "a template without an end"}
		}
		switch last := s.out[len(s.out)-1]; {
		case last.kind != signLex:
		case s.src[last.start] == '{':
			open++
		case s.src[last.start] == '}':
			if open--; open == 0 {
				s.at = last.start // of the one character }
				return nil
			}
		}
	}
}

// slash decides between a division and a regular expression by what stands before.
func (s *scanner) slash() (lexKind, *mark) {
	if len(s.out) > 0 {
		prev := s.out[len(s.out)-1]
		text := string(s.src[prev.start:prev.end])
		switch prev.kind {
		case wordLex:
			if slices.Contains([]string{"of", "await", "yield", "as"}, text) {
				return signLex, &mark{s.at, "a / that is a division or begins a regular expression"}
			}
			if !slices.Contains([]string{"return", "typeof", "instanceof", "in", "new", "delete", "void", "throw", "case", "do", "else", "default"}, text) {
				s.at++
				return signLex, nil
			}
		case signLex:
			switch text {
			case "]":
				s.at++
				return signLex, nil
			case ")", "}", "++", "--", "!":
				return signLex, &mark{s.at, "a / that is a division or begins a regular expression"}
			}
		default:
			s.at++
			return signLex, nil
		}
	}
	return regexLex, s.regex()
}

func (s *scanner) regex() *mark {
	start, class := s.at, false
	for s.at++; s.at < len(s.src); {
		c, size := s.rune(s.at)
		s.at += size
		switch {
		case endsLine(c):
			return &mark{start, "a regular expression that does not end in its line"}
		case c == '\\':
			if c, size = s.rune(s.at); !endsLine(c) {
				s.at += size
			}
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			s.name() // the flags
			return nil
		}
	}
	return &mark{start, "a regular expression without an end"}
}

// pair matches brackets.
func pair(src []byte, all []lexeme) *mark {
	var open []int
	for i, l := range all {
		if l.kind != signLex || l.end != l.start+1 {
			continue
		}
		switch c := src[l.start]; c {
		case '(', '[', '{':
			open = append(open, i)
		case ')', ']', '}':
			if len(open) == 0 || closing(src[all[open[len(open)-1]].start]) != c {
				return &mark{l.start, "a bracket that was not opened: " + string(rune(c))}
			}
			last := open[len(open)-1]
			open = open[:len(open)-1]
			all[last].match, all[i].match = i, last
		}
	}
	if len(open) > 0 {
		at := all[open[0]].start
		return &mark{at, "a bracket that is not closed: " + string(rune(src[at]))}
	}
	return nil
}

func closing(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '[':
		return ']'
	}
	return '}'
}
