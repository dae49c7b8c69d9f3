package capconfig

import "regexp"

// wrapper is the name of a function that is there for the types and returns what it is given.
var wrapper = regexp.MustCompile(`^define[A-Za-z]*Config$`)

// packaged is what names a file of a package from npm: no path, URL, alias such as @/x, or import of the app's own
// package (#x).
var packaged = regexp.MustCompile(`^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

// wrapperDoubt returns why the function that is called at i may do more than its name says, or nil: the name must
// stand nowhere else but where it is imported from a package. One that the app itself declares or changes can return
// anything.
func (p *program) wrapperDoubt(i int) *mark {
	name := p.text(i)
	for k := range p.lex {
		if k == i || !p.mentions(k, name) || p.imported(k) {
			continue
		}
		return &mark{p.at(k), "the function " + name + " declared here, used for something else, too, or not from a package"}
	}
	return nil
}

// mentions reports whether lexeme k is the name, of whatever it is.
func (p *program) mentions(k int, name string) bool {
	return p.is(k, name) || p.isKind(k, templateLex) && p.refers(k, name)
}

// imported reports whether the name at k is one that a statement imports from a package, under its own name.
func (p *program) imported(k int) bool {
	if p.is(k-1, "as") {
		return false
	}
	start := k
	for start > 0 && !p.is(start, "import") && p.inImport(start) {
		start--
	}
	if !p.is(start, "import") || !p.outside(start) || !p.begins(start) {
		return false
	}
	end := k + 1
	for p.inImport(end) && !(p.is(end, "from") && p.isKind(end+1, stringLex)) {
		end++
	}
	if !p.is(end, "from") || !p.isKind(end+1, stringLex) {
		return false
	}
	from, ok := unquote(p.text(end + 1))
	return ok && packaged.MatchString(from)
}

// inImport reports whether lexeme i can stand between import and the name of the module.
func (p *program) inImport(i int) bool {
	return p.isKind(i, wordLex) || p.is(i, "{") || p.is(i, "}") || p.is(i, ",") || p.is(i, "*")
}
