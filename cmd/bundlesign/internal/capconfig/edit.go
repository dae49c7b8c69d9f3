package capconfig

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// publicKeyPath is where the public key is.
var publicKeyPath = [...]string{"plugins", "CapacitorUpdater", "publicKey"}

// SetPublicKey returns the configuration src, of the file path, with pem as public key: the value is replaced, or
// added with the objects around it, in the file's own indentation and quotes. No other byte changes. It does not ask
// whether there is another key already; that is for the caller, who has read the file. An [UnclearError] says that
// the value, or where it belongs, is no literal: then it is to be done by hand, with the line that [Property] returns.
func SetPublicKey(path string, src []byte, pem string) ([]byte, error) {
	if err := checkPEM(pem); err != nil {
		return nil, err
	}
	root, err := parse(path, src)
	if err != nil {
		return nil, err
	}
	st := styleOf(src, root, strings.HasSuffix(path, ".json"))
	n := root
	var out []byte
	for i, name := range publicKeyPath {
		if n.kind != objectNode {
			return nil, newUnclear(path, src, &mark{n.start, fmt.Sprintf("%s as %s", n.what, publicKeyPath[i-1])}, FieldPublicKey)
		}
		next, doubt := n.get(name)
		if doubt != nil {
			return nil, newUnclear(path, src, doubt, FieldPublicKey)
		}
		if next == nil {
			out = st.insert(n, publicKeyPath[i:], pem)
			break
		}
		n = next
	}
	switch {
	case out != nil:
	case n.kind != textNode:
		return nil, newUnclear(path, src, &mark{n.start, n.what}, FieldPublicKey)
	case n.text == pem:
		return bytes.Clone(src), nil
	default:
		out = splice(src, n.start, n.end, st.quoted(pem))
	}
	if err := checkEdit(path, root, src, out, pem); err != nil {
		return nil, fmt.Errorf("%s cannot be changed safely: %w", path, err)
	}
	return out, nil
}

// Property returns the public key as it is to be written into a configuration of that name by hand, in one line.
func Property(path, pem string) string {
	st := style{quote: '\''}
	if strings.HasSuffix(path, ".json") {
		st = style{json: true, quote: '"'}
	}
	return st.name("publicKey") + ": " + st.quoted(pem)
}

// checkPEM refuses what would need more than \n escaped.
func checkPEM(pem string) error {
	for i, c := range pem {
		if c != '\n' && (c < ' ' || c > '~' || strings.ContainsRune("'\"`\\$", c)) {
			return fmt.Errorf("public key: found the character U+%04X at byte %d, want PEM", c, i)
		}
	}
	if pem == "" {
		return errors.New("public key: found nothing, want PEM")
	}
	return nil
}

func splice(src []byte, from, to int, text string) []byte {
	return slices.Concat(src[:from], []byte(text), src[to:])
}

// checkEdit reads the result of an edit like any other configuration, and holds it against what was there before.
func checkEdit(path string, before *node, src, out []byte, pem string) error {
	after, err := parse(path, out)
	if err != nil {
		return err
	}
	n, doubt := after.find(publicKeyPath[:]...)
	if doubt != nil || n == nil || n.kind != textNode || n.text != pem {
		return errors.New("the key would not be where it belongs")
	}
	was, is := before.leaves(src), after.leaves(out)
	for _, m := range []map[string]string{was, is} {
		path := ""
		delete(m, path) // an object that was empty
		for _, name := range publicKeyPath {
			path += "\x00" + name
			delete(m, path)
		}
	}
	if !maps.Equal(was, is) {
		return errors.New("another value would change")
	}
	return nil
}

// leaves returns what stands in the file for each value, by its path.
func (n *node) leaves(src []byte) map[string]string {
	out := make(map[string]string)
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		if n.kind != objectNode {
			out[path] = string(src[n.start:n.end])
			return
		}
		if len(n.props) == 0 {
			out[path] = "{}"
		}
		for i, p := range n.props {
			full := path + "\x00" + p.name
			if p.value == nil { // a spread
				out[fmt.Sprintf("%s\x00\x00%d", path, i)] = p.opaque
				continue
			}
			walk(full, p.value)
		}
	}
	walk("", n)
	return out
}
