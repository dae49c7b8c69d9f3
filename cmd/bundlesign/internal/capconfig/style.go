package capconfig

import (
	"bytes"
	"strings"
)

// style is how a file is written, for what is added to it to look alike.
type style struct {
	src     []byte
	json    bool
	quote   byte   // ' or "
	newline string // "\n" or "\r\n"
	unit    string // of indentation
	comma   bool   // behind the last property, where each has a line
}

func styleOf(src []byte, root *node, json bool) *style {
	st := &style{src: src, json: json, quote: '"', newline: "\n", unit: "  "}
	if i := bytes.IndexByte(src, '\n'); i > 0 && src[i-1] == '\r' {
		st.newline = "\r\n"
	}
	if !json && bytes.Count(src, []byte("'")) >= bytes.Count(src, []byte(`"`)) {
		st.quote = '\''
	}
	if len(root.props) > 0 {
		inner, own := st.indent(root.props[0].start)
		outer, _ := st.indent(root.start)
		if unit, ok := strings.CutPrefix(inner, outer); ok && own && unit != "" {
			st.unit = unit
		}
		st.comma = !json && st.multiline(root) && st.commaAfter(root.lastEnd()) >= 0
	}
	return st
}

// indent returns the white space that the line of an offset begins with, and whether nothing else stands before it.
func (st *style) indent(at int) (space string, own bool) {
	start := bytes.LastIndexByte(st.src[:at], '\n') + 1
	if start == 0 && bytes.HasPrefix(st.src, bom) {
		start = len(bom)
	}
	before := st.src[start:at]
	rest := bytes.TrimLeft(before, " \t")
	return string(before[:len(before)-len(rest)]), len(rest) == 0
}

// multiline reports whether the closing brace of an object has a line of its own.
func (st *style) multiline(n *node) bool {
	_, own := st.indent(n.end - 1)
	return own
}

// lastEnd is where the last property of an object ends.
func (n *node) lastEnd() int { return n.props[len(n.props)-1].end }

func (st *style) name(name string) string {
	if st.json {
		return `"` + name + `"`
	}
	return name
}

func (st *style) quoted(pem string) string {
	q := string(st.quote)
	return q + strings.ReplaceAll(pem, "\n", `\n`) + q
}

// property is the text of a property, and of the objects down to it that its path has.
func (st *style) property(path []string, pem, indent string, multiline bool) string {
	head := st.name(path[0]) + ": "
	if len(path) == 1 {
		return head + st.quoted(pem)
	}
	if !multiline {
		return head + "{ " + st.property(path[1:], pem, "", false) + " }"
	}
	comma := ""
	if st.comma {
		comma = ","
	}
	inner := indent + st.unit
	return head + "{" + st.newline + inner + st.property(path[1:], pem, inner, true) + comma + st.newline + indent + "}"
}

// insert adds a property to an object that does not have it, as its last one: what comes last wins.
func (st *style) insert(n *node, path []string, pem string) []byte {
	outer, _ := st.indent(n.start)
	if len(n.props) == 0 {
		return st.fill(n, path, pem, outer)
	}
	end := n.lastEnd()
	comma := st.commaAfter(end)
	if !st.multiline(n) {
		text := st.property(path, pem, "", false)
		if comma >= 0 {
			return splice(st.src, comma+1, comma+1, " "+text+",")
		}
		return splice(st.src, end, end, ", "+text)
	}
	last := n.props[len(n.props)-1]
	indent, own := st.indent(last.start)
	if !own {
		indent = outer + st.unit
	}
	line := indent + st.property(path, pem, indent, true)
	if comma >= 0 {
		line += ","
	}
	line += st.newline
	brace, _ := st.indent(n.end - 1)
	at := n.end - 1 - len(brace)
	out := splice(st.src, at, at, line)
	if comma < 0 {
		out = splice(out, end, end, ",") // before what was just added
	}
	return out
}

// fill gives an empty object its first property. What is in it now is white space, or comments, which stay.
func (st *style) fill(n *node, path []string, pem, outer string) []byte {
	from, to := n.start+1, n.end-1
	comma := ""
	if st.comma {
		comma = ","
	}
	inner := outer + st.unit
	text := st.newline + inner + st.property(path, pem, inner, true)
	if len(bytes.TrimSpace(st.src[from:to])) == 0 {
		return splice(st.src, from, to, text+comma+st.newline+outer)
	}
	return splice(st.src, from, from, text+",")
}

// commaAfter returns where a comma follows the property that ends at an offset, past white space and comments, or -1.
func (st *style) commaAfter(at int) int {
	s := &scanner{src: st.src, at: at}
	if _, bad := s.space(); bad != nil || s.at >= len(st.src) || st.src[s.at] != ',' {
		return -1
	}
	return s.at
}
