package capconfig

import (
	"fmt"
	"slices"
)

// program is one that was scanned.
type program struct {
	src []byte
	lex []lexeme
}

// is reports whether the lexeme i is this word or sign.
func (p *program) is(i int, text string) bool {
	return i >= 0 && i < len(p.lex) && (p.lex[i].kind == wordLex || p.lex[i].kind == signLex) && p.text(i) == text
}

func (p *program) isKind(i int, k lexKind) bool {
	return i >= 0 && i < len(p.lex) && p.lex[i].kind == k
}

func (p *program) text(i int) string { return string(p.src[p.lex[i].start:p.lex[i].end]) }

// at is the offset of lexeme i, or the end of the file.
func (p *program) at(i int) int {
	if i < len(p.lex) {
		return p.lex[i].start
	}
	return len(p.src)
}

// opens reports whether lexeme i is an opening bracket.
func (p *program) opens(i int) bool { return p.is(i, "(") || p.is(i, "[") || p.is(i, "{") }

func (p *program) closes(i int) bool { return p.is(i, ")") || p.is(i, "]") || p.is(i, "}") }

// item reads the expression at i, which ends before a comma or the closing bracket around it, and returns where.
// What is not understood is an otherNode.
func (p *program) item(i, depth int) (*node, int, *mark) {
	n, end, err := p.literal(i, depth)
	if err != nil {
		return nil, 0, err
	}
	if n != nil && (p.is(end, ",") || p.closes(end)) {
		return n, end, nil
	}
	end = i
	for end < len(p.lex) && !p.is(end, ",") && !p.closes(end) {
		if p.opens(end) {
			end = p.lex[end].match
		}
		end++
	}
	if end == i {
		return nil, 0, &mark{p.at(i), "nothing where a value should be"}
	}
	return &node{kind: otherNode, start: p.lex[i].start, end: p.lex[end-1].end, what: p.describe(i, end)}, end, nil
}

// literal reads the literal at i, with what TypeScript may say of its type, and returns the lexeme behind it. It
// returns nil if there is none. What follows can still make it part of something else.
func (p *program) literal(i, depth int) (n *node, end int, err *mark) {
	if depth > maxDepth {
		return nil, 0, &mark{p.at(i), fmt.Sprintf("more than %d levels, that cannot be right", maxDepth)}
	}
	switch {
	case p.isKind(i, stringLex), p.isKind(i, templateLex):
		text, ok := unquote(p.text(i))
		if !ok {
			return nil, i, nil
		}
		n, end = &node{kind: textNode, start: p.lex[i].start, end: p.lex[i].end, text: text, what: "text"}, i+1
	case p.is(i, "{"):
		if n, err = p.object(i, depth); err != nil {
			return nil, 0, err
		}
		end = p.lex[i].match + 1
	case p.is(i, "("):
		// An error within is none: it may be the parameters of a function.
		if n, end, err = p.literal(i+1, depth+1); n == nil || err != nil || end != p.lex[i].match {
			return nil, i, nil
		}
		end++
	default:
		return nil, i, nil
	}
	for {
		switch {
		case p.is(end, "!") && !p.lex[end].newline:
			end++
		case (p.is(end, "as") || p.is(end, "satisfies")) && !p.lex[end].newline:
			after := p.typeAt(end + 1)
			if after == end+1 {
				return nil, i, nil
			}
			end = after
		default:
			return n, end, nil
		}
	}
}

// typeAt returns the lexeme behind the type at i: names with dots, in angle brackets what they are of, in braces
// what they have, and several of them with & or |. If there is none, it returns i.
func (p *program) typeAt(i int) int {
	at := i
	switch {
	case p.is(at, "{"):
		at = p.lex[at].match + 1
	case p.isKind(at, wordLex):
		for at++; p.is(at, ".") && p.isKind(at+1, wordLex); {
			at += 2
		}
		if p.is(at, "<") {
			open := 0
			for ; at < len(p.lex); at++ {
				switch {
				case p.is(at, "<"):
					open++
				case p.is(at, ">"):
					open--
				case p.opens(at):
					at = p.lex[at].match
				case p.is(at, ",") || p.is(at, "|") || p.is(at, "&") || p.is(at, ".") || p.isKind(at, wordLex) || p.isKind(at, stringLex):
				default:
					return i
				}
				if open == 0 {
					break
				}
			}
			if at++; open != 0 {
				return i
			}
		}
	default:
		return i
	}
	for p.is(at, "[") && p.lex[at].match == at+1 && !p.lex[at].newline {
		at += 2
	}
	if p.is(at, "|") || p.is(at, "&") {
		if after := p.typeAt(at + 1); after > at+1 {
			return after
		}
		return i
	}
	return at
}

// object reads the object literal whose brace is at i.
func (p *program) object(i, depth int) (*node, *mark) {
	last := p.lex[i].match
	n := &node{kind: objectNode, start: p.lex[i].start, end: p.lex[last].end, what: "an object"}
	for at := i + 1; at < last; {
		next, pr, err := p.property(at, depth)
		if err != nil {
			return nil, err
		}
		pr.end = p.lex[next-1].end
		n.props = append(n.props, *pr)
		if next < last && !p.is(next, ",") {
			return nil, &mark{p.at(next), "something else than a comma after a property"}
		}
		at = next + 1
	}
	return n, nil
}

// property reads the property at i and returns the lexeme behind it.
func (p *program) property(i, depth int) (int, *prop, *mark) {
	pr := &prop{start: p.lex[i].start}
	if p.is(i, "...") {
		pr.opaque = "a spread (...)"
		_, end, err := p.item(i+1, depth)
		return end, pr, err
	}
	at, method := i, false
	for (p.is(at, "get") || p.is(at, "set") || p.is(at, "async")) && !p.is(at+1, ":") && !p.is(at+1, ",") && !p.is(at+1, "(") && !p.closes(at+1) || p.is(at, "*") {
		at, method = at+1, true
	}
	var ok bool
	switch {
	case p.is(at, "["):
		pr.opaque, ok = "a computed name ([...])", true
		at = p.lex[at].match
	case p.isKind(at, wordLex), p.isKind(at, numberLex):
		pr.name, ok = p.text(at), true
	case p.isKind(at, stringLex):
		pr.name, ok = unquote(p.text(at))
	}
	if !ok {
		return 0, nil, &mark{p.at(at), "something that is no name of a property"}
	}
	if pr.name == "__proto__" {
		pr.opaque = "__proto__"
	}
	var err *mark
	end := at + 1
	switch {
	case method || p.is(end, "(") || p.is(end, "<"):
		for end < len(p.lex) && !p.is(end, ",") && !p.closes(end) {
			if p.opens(end) {
				end = p.lex[end].match
			}
			end++
		}
		pr.value = &node{kind: otherNode, start: pr.start, end: p.lex[end-1].end, what: "a method"}
	case p.is(end, ":"):
		pr.value, end, err = p.item(end+1, depth+1)
	case p.isKind(at, wordLex) && (p.is(end, ",") || p.closes(end)):
		pr.value = &node{kind: otherNode, start: pr.start, end: p.lex[at].end, what: "the variable " + pr.name}
	default:
		err = &mark{p.at(end), "something else than a colon after the name of a property"}
	}
	return end, pr, err
}

// describe says what the expression from i to end is. It shows names alone: a value could be a secret.
func (p *program) describe(i, end int) string {
	switch {
	case p.isKind(i, numberLex) && end == i+1:
		return "a number"
	case p.isKind(i, wordLex) && slices.Contains([]string{"true", "false", "null", "undefined"}, p.text(i)) && end == i+1:
		return p.text(i)
	case p.isKind(i, templateLex):
		return "a template with something in it"
	case p.is(i, "["):
		return "a list, or what is made from one"
	case p.is(i, "function"), p.is(i, "async"), p.is(i, "class"), p.is(i+1, "=>"), p.is(i, "(") && p.is(p.lex[i].match+1, "=>"):
		return "a function"
	case p.isKind(i, wordLex):
		const most = 60
		name := p.text(i)
		at := i + 1
		for ; p.is(at, ".") && p.isKind(at+1, wordLex) && at+1 < end; at += 2 {
			name += "." + p.text(at+1)
		}
		if len(name) <= most && at == end {
			return name
		}
		if len(name) <= most {
			return "an expression that begins with " + name
		}
	}
	return "an expression"
}
