package capconfig

import (
	"fmt"
	"slices"
	"strings"
)

// parseProgram finds the object literal that a program exports: export default, export = or module.exports, of the
// literal itself, of a variable that is used for nothing else, or of what a wrapper such as defineConfig is given.
func parseProgram(path string, src []byte) (*node, error) {
	lex, bad := scan(src)
	if bad != nil {
		bad.found = "found " + bad.found
		return nil, newSyntax(path, src, bad)
	}
	p := &program{src, lex}
	at, unclear := p.export()
	var n *node
	if unclear == nil {
		n, unclear, bad = p.exported(at)
	}
	switch {
	case bad != nil:
		bad.found = "found " + bad.found
		return nil, newSyntax(path, src, bad)
	case unclear != nil:
		return nil, newUnclear(path, src, unclear, "")
	}
	return n, nil
}

// export returns where the expression is that the program exports.
func (p *program) export() (int, *mark) {
	var found []int
	for i := range p.lex {
		if len(found) > 1 {
			return 0, &mark{p.at(found[1]), "a second export"}
		}
		switch {
		case p.is(i, "export") && p.is(i+1, "default") && p.outside(i):
			found = append(found, i+2)
		case p.is(i, "export") && p.is(i+1, "=") && p.outside(i):
			found = append(found, i+2)
		case p.is(i, "export") && p.is(i+1, "{"):
			if slices.ContainsFunc(p.words(i+1, p.lex[i+1].match), func(w string) bool { return w == "default" }) {
				return 0, &mark{p.at(i), "an export list with default"}
			}
		case p.assignsExports(i):
			found = append(found, i+4)
		case p.refers(i, "module"), p.refers(i, "exports"):
			return 0, &mark{p.at(i), p.text(i) + " used for something else"}
		}
	}
	switch len(found) {
	case 0:
		return 0, &mark{0, "no export default and no module.exports"}
	case 1:
		return found[0], nil
	}
	return 0, &mark{p.at(found[1]), "a second export"}
}

// assignsExports reports whether "module.exports =" is at i, as a statement of its own.
func (p *program) assignsExports(i int) bool {
	return p.is(i, "module") && p.is(i+1, ".") && p.is(i+2, "exports") && p.is(i+3, "=") && p.outside(i) && p.begins(i)
}

// begins reports whether a statement begins at i.
func (p *program) begins(i int) bool {
	return i == 0 || p.is(i-1, ";") || p.is(i-1, "}") || p.lex[i].newline && !p.is(i-1, "=") && !p.is(i-1, ",")
}

// outside reports whether lexeme i is in no bracket.
func (p *program) outside(i int) bool {
	for at := 0; at < i; at++ {
		if p.opens(at) {
			if at = p.lex[at].match; at > i {
				return false
			}
		}
	}
	return true
}

func (p *program) words(from, to int) (words []string) {
	for i := from; i < to; i++ {
		if p.isKind(i, wordLex) {
			words = append(words, p.text(i))
		}
	}
	return words
}

// refers reports whether lexeme i may be a use of the variable of that name. A name after a dot and the name of a
// property are none.
func (p *program) refers(i int, name string) bool {
	if p.isKind(i, templateLex) {
		text := p.text(i)
		return hasSubstitution(text[1:]) && strings.Contains(text, name)
	}
	property := p.is(i+1, ":") && (p.is(i-1, "{") || p.is(i-1, ","))
	return p.is(i, name) && !p.is(i-1, ".") && !property
}

// exported reads the expression at i, which is a whole statement's.
func (p *program) exported(i int) (n *node, unclear, bad *mark) {
	if p.isKind(i, wordLex) && p.ends(p.typed(i+1)) && !slices.Contains([]string{"function", "class", "async", "await", "new"}, p.text(i)) {
		declared, unclear := p.declaration(i)
		if unclear != nil {
			return nil, unclear, nil
		}
		return p.whole(declared)
	}
	return p.whole(i)
}

// typed goes past what TypeScript may say of the type of an expression that ends before i.
func (p *program) typed(i int) int {
	for (p.is(i, "as") || p.is(i, "satisfies")) && !p.lex[i].newline {
		after := p.typeAt(i + 1)
		if after == i+1 {
			return i
		}
		i = after
	}
	return i
}

// whole reads the object literal at i, which may be what a wrapper is given, up to the end of its statement.
func (p *program) whole(i int) (n *node, unclear, bad *mark) {
	open, given := i, false
	if p.isKind(i, wordLex) && wrapper.MatchString(p.text(i)) && p.is(i+1, "(") {
		if doubt := p.wrapperDoubt(i); doubt != nil {
			return nil, doubt, nil
		}
		open, given = i+2, true
	}
	n, end, bad := p.literal(open, 0)
	if bad != nil {
		return nil, nil, bad
	}
	if n != nil && given {
		if p.is(end, ",") {
			end++
		}
		if end != p.lex[i+1].match {
			n = nil
		}
		end = p.typed(end + 1)
	}
	if n == nil || n.kind != objectNode || !p.ends(end) {
		stop := i
		for stop < len(p.lex) && !p.ends(stop) {
			if p.opens(stop) {
				stop = p.lex[stop].match
			}
			stop++
		}
		return nil, &mark{p.at(i), p.describe(i, stop)}, nil
	}
	return n, nil, nil
}

// ends reports whether a statement can end before lexeme i, and must end there by the rules of automatic semicolons
// (ECMA-262, 12.10) if no semicolon is there.
func (p *program) ends(i int) bool {
	if i >= len(p.lex) || p.is(i, ";") {
		return true
	}
	l := p.lex[i]
	if !l.newline {
		return false
	}
	switch l.kind {
	case wordLex:
		return !slices.Contains([]string{"in", "instanceof", "as", "satisfies"}, p.text(i))
	case stringLex, numberLex:
		return true
	}
	return p.is(i, "{")
}

// declaration finds where the variable that is exported at i gets its value. It must be used for nothing else:
// whoever has it can change what is in it.
func (p *program) declaration(i int) (int, *mark) {
	name, at := p.text(i), -1
	for k := range p.lex {
		if k == i || !p.refers(k, name) {
			continue
		}
		keyword := p.is(k-1, "const") || p.is(k-1, "let") || p.is(k-1, "var")
		if !keyword || at >= 0 || !p.outside(k) {
			return 0, &mark{p.at(k), fmt.Sprintf("the variable %s used for something else, too, which may change it", name)}
		}
		at = k
	}
	if at < 0 {
		return 0, &mark{p.at(i), "the variable " + name + ", which is not declared here"}
	}
	value := at + 1
	if p.is(value, ":") {
		value = p.typeAt(value + 1)
	}
	if p.is(value, "=") {
		return value + 1, nil
	}
	return 0, &mark{p.at(at), "the variable " + name + " declared without a value, or with a type that is not understood"}
}
