package uri

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxURI    = 4096
	maxObject = 255 // bytes of a label or id; tokens allow less
	maxPath   = 1024

	maxName = 64
	maxArgs = 1024

	credentialPrefix = "credential:"
	commandPrefix    = "|"
)

// Parse reads a PKCS#11 URI.
func Parse(s string) (*URI, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return nil, fmt.Errorf("want a URI that begins with %q", Scheme)
	}
	if len(s) > maxURI {
		return nil, fmt.Errorf("found a URI of %d bytes, want at most %d", len(s), maxURI)
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	u := new(URI)
	p := parser{u: u, seen: map[string]bool{}}
	if path != "" {
		if err := p.attributes(path, ";", pathExtra, p.pathAttribute); err != nil {
			return nil, err
		}
	}
	if hasQuery {
		if err := p.attributes(query, "&", queryExtra, p.queryAttribute); err != nil {
			return nil, err
		}
	}
	if u.Object == "" && u.ID == "" {
		return nil, errors.New("names no key: give object= (the key's label) or id=")
	}
	if u.ModulePath == "" && u.ModuleName == "" {
		return nil, errors.New("has no module-path: add ?module-path= and the absolute path of the vendor's PKCS#11 library, or ?module-name=")
	}
	if u.ModulePath != "" && u.ModuleName != "" {
		return nil, errors.New("has both module-path and module-name: give one of them")
	}
	return u, nil
}

type parser struct {
	u    *URI
	seen map[string]bool
}

// attributes splits "name=value" pairs and gives them, decoded, to set. A
// message names an attribute but shows a value only where set does: what is
// in the wrong place may be a PIN.
func (p parser) attributes(s, separator, extra string, set func(name, value string) error) error {
	for i, part := range strings.Split(s, separator) {
		name, raw, ok := strings.Cut(part, "=")
		if !ok || !isName(name) {
			return fmt.Errorf("part %d between %q is not name=value", i+1, separator)
		}
		if p.seen[name] {
			return fmt.Errorf("has the attribute %q twice", name)
		}
		p.seen[name] = true
		if name == "pin-value" {
			return errors.New("has a pin-value: a PIN does not belong in a configuration, where it is copied and shown; put it in a file of its own and give pin-source=/path, or pin-source=credential:NAME for a systemd credential")
		}
		value, err := unescape(raw, extra)
		if err != nil {
			return fmt.Errorf("attribute %q %w", name, err)
		}
		if value == "" {
			return fmt.Errorf("attribute %q is empty: leave it out or give it a value", name)
		}
		if err := set(name, value); err != nil {
			return fmt.Errorf("attribute %q %w", name, err)
		}
	}
	return nil
}

func isName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func (p parser) pathAttribute(name, value string) error {
	t := &p.u.Token
	switch name {
	case "token":
		return text(&t.Label, value, 32)
	case "manufacturer":
		return text(&t.Manufacturer, value, 32)
	case "serial":
		return text(&t.Serial, value, 16)
	case "model":
		return text(&t.Model, value, 16)
	case "object":
		return text(&p.u.Object, value, maxObject)
	case "id":
		if len(value) > maxObject {
			return fmt.Errorf("has %d bytes, want at most %d", len(value), maxObject)
		}
		p.u.ID = value
		return nil
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return errors.New("is not a decimal number")
		}
		t.SlotID, t.HasSlotID = n, true
		return nil
	case "type":
		if value != "private" {
			return errors.New("is not \"private\": only a private key can sign")
		}
		return nil
	case "module-path", "module-name", "pin-source", "x-init-args":
		return errors.New("is in the wrong place: it comes after the \"?\"")
	case "library-manufacturer", "library-description", "library-version":
		return errors.New("is not supported: module-path says which library it is; what the library says of itself is shown with the key")
	case "slot-manufacturer", "slot-description":
		return errors.New("is not supported: select the token by token, serial, manufacturer or model, which stay with it in another slot")
	}
	return errors.New("is not supported in front of the \"?\"; want token, serial, manufacturer, model, slot-id, object, id or type")
}

func (p parser) queryAttribute(name, value string) error {
	switch name {
	case "module-path":
		return absolute(&p.u.ModulePath, value)
	case "module-name":
		return moduleName(&p.u.ModuleName, value)
	case "pin-source":
		return p.pinSource(value)
	case "x-init-args":
		if len(value) > maxArgs {
			return fmt.Errorf("has %d bytes, want at most %d", len(value), maxArgs)
		}
		if strings.IndexByte(value, 0) >= 0 {
			return errors.New("has a zero byte")
		}
		return text(&p.u.InitArgs, value, maxArgs)
	case "token", "manufacturer", "serial", "model", "object", "id", "slot-id", "type":
		return errors.New("is in the wrong place: it comes in front of the \"?\"")
	}
	return errors.New("is not supported after the \"?\"; want module-path, module-name, pin-source or x-init-args")
}

func (p parser) pinSource(value string) error {
	if name, ok := strings.CutPrefix(value, credentialPrefix); ok {
		if !isCredential(name) {
			return errors.New("does not name a systemd credential: want credential: and up to 255 letters, digits, \"-\", \"_\" and \".\"")
		}
		p.u.PIN.Credential = name
		return nil
	}
	// RFC 7512, section 2.4: "|" and a command. It is a program's path and no more:
	// there is no shell to give a line to.
	if program, ok := strings.CutPrefix(value, commandPrefix); ok {
		if err := absolute(&p.u.PIN.Command, program); err != nil {
			return fmt.Errorf("is not a program after the \"|\": %w; arguments are not supported, write a script", err)
		}
		return nil
	}
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		if host, ok := strings.CutPrefix(path, "//"); ok {
			path, ok = strings.CutPrefix(host, "localhost")
			if !ok && !strings.HasPrefix(host, "/") {
				return errors.New("is a file on another host: want file:/absolute/path")
			}
		}
		value = path
	}
	return absolute(&p.u.PIN.Path, value)
}

// moduleName takes the name of a module: part of a file's name, and no way out of its
// directory.
func moduleName(dst *string, value string) error {
	if len(value) > maxName {
		return fmt.Errorf("has %d bytes, want at most %d", len(value), maxName)
	}
	for i := range len(value) {
		c := value[i]
		if !unreserved(c) && c != '+' || c == '~' || c == '.' && i == 0 {
			return errors.New("is not the name of a module: want letters, digits, \"-\", \"_\", \"+\" and \".\", such as softhsm2 for libsofthsm2.so")
		}
	}
	*dst = value
	return nil
}

func isCredential(s string) bool {
	if s == "" || len(s) > 255 || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !unreserved(c) || c == '~' {
			return false
		}
	}
	return true
}

func absolute(dst *string, value string) error {
	if len(value) > maxPath {
		return fmt.Errorf("has %d bytes, want at most %d", len(value), maxPath)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return errors.New("has a zero byte")
	}
	if !filepath.IsAbs(value) {
		return errors.New("is not an absolute path")
	}
	*dst = value
	return nil
}

// text takes a value that a token holds in a field of size bytes.
func text(dst *string, value string, size int) error {
	if len(value) > size {
		return fmt.Errorf("has %d bytes, want at most %d", len(value), size)
	}
	if !utf8.ValidString(value) {
		return errors.New("is not UTF-8 text")
	}
	*dst = value
	return nil
}
