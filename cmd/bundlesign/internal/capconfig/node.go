package capconfig

import "fmt"

// node is a value in a configuration.
type node struct {
	kind       nodeKind
	start, end int    // bytes of the file
	text       string // the value of a textNode
	what       string // for messages, never the value
	props      []prop // of an objectNode
}

type nodeKind int

const (
	textNode   nodeKind = iota // a string literal, whose value is known
	objectNode                 // an object literal
	otherNode                  // anything else
)

// prop is a property of an object literal.
type prop struct {
	name  string
	start int // of its key
	end   int // of its value, with what is said of its type
	value *node
	// opaque, if not "", says what stands there instead, of which the names are not known: a spread, say.
	opaque string
}

// mark is something to be told about a place in the file.
type mark struct {
	at    int
	found string
}

// get returns the property of that name, or nil if there is none; or why neither can be said.
func (n *node) get(name string) (*node, *mark) {
	var found *node
	var doubt *mark
	for _, p := range n.props {
		switch {
		case p.opaque != "":
			// What comes after it wins over it.
			doubt = &mark{p.start, p.opaque + ", which may have " + name}
		case p.name == name && found != nil:
			return nil, &mark{p.start, "a second " + name}
		case p.name == name:
			found, doubt = p.value, nil
		}
	}
	return found, doubt
}

// find goes down a path. It returns nil if an object on the way, or the value, is not there.
func (n *node) find(path ...string) (*node, *mark) {
	for i, name := range path {
		if n.kind != objectNode {
			return nil, &mark{n.start, fmt.Sprintf("%s as %s", n.what, path[i-1])}
		}
		next, doubt := n.get(name)
		if next == nil || doubt != nil {
			return nil, doubt
		}
		n = next
	}
	return n, nil
}
