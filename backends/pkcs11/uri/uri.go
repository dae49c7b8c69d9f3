// Package uri reads the PKCS#11 URIs (RFC 7512) that name a private key in a
// configuration.
//
// It reads a strict subset, of which this is the whole:
//
//	pkcs11:token=...;serial=...;manufacturer=...;model=...;slot-id=...
//	      ;object=...;id=...;type=private
//	      ?module-path=/... or module-name=...
//	      &pin-source=/path, file:/path, credential:NAME or |/program
//	      &x-init-args=...
//
// Attributes may come in any order before the "?" and after it. Only object or id,
// and one of the two that name the module, must be there. x-init-args is a vendor
// attribute (section 2.3) of this program.
//
// Its invariant is that nothing in a URI is ever ignored: an attribute that is
// unknown, given twice, empty or too long is an error that names it, and a PIN
// inside the URI is refused without being repeated in the message.
package uri

import (
	"fmt"
	"strings"
)

// Scheme is how every PKCS#11 URI begins.
const Scheme = "pkcs11:"

// URI is a private key, where to find it and how to get at it.
type URI struct {
	Token Token
	// Object is CKA_LABEL, ID is CKA_ID, as raw bytes. At least one is set.
	Object string
	ID     string
	// ModulePath is the absolute path of the vendor's shared object. Either it or
	// ModuleName is set.
	ModulePath string
	// ModuleName is the name of a module that stands in one of the system's
	// directories for modules, without "lib" and ".so".
	ModuleName string
	// InitArgs is what C_Initialize is given, for modules that want it; or "".
	InitArgs string
	// PIN says where the PIN is read from; zero: the token needs no login.
	PIN PINSource
}

// Token selects a token. Empty fields match everything.
type Token struct {
	Label        string
	Serial       string
	Manufacturer string
	Model        string
	// SlotID counts only if HasSlotID: 0 is a slot like any other.
	SlotID    uint64
	HasSlotID bool
}

// PINSource is where a PIN is read from: an absolute path, the name of a systemd
// credential, or the absolute path of a program that prints it. At most one is
// set.
type PINSource struct {
	Path       string
	Credential string
	Command    string
}

// IsZero reports whether there is no PIN to read.
func (p PINSource) IsZero() bool { return p == PINSource{} }

// String returns the source in the form of the pin-source attribute.
func (p PINSource) String() string {
	switch {
	case p.Credential != "":
		return credentialPrefix + p.Credential
	case p.Command != "":
		return commandPrefix + p.Command
	}
	return p.Path
}

// String returns the attributes that select the token, for messages.
func (t Token) String() string {
	var parts []string
	for _, a := range []struct{ name, value string }{
		{"token", t.Label},
		{"serial", t.Serial},
		{"manufacturer", t.Manufacturer},
		{"model", t.Model},
	} {
		if a.value != "" {
			parts = append(parts, a.name+"="+escape(a.value, pathExtra))
		}
	}
	if t.HasSlotID {
		parts = append(parts, fmt.Sprintf("slot-id=%d", t.SlotID))
	}
	return strings.Join(parts, ";")
}

// KeyName returns the attributes that select a key, for messages.
func KeyName(object, id string) string {
	var parts []string
	if object != "" {
		parts = append(parts, "object="+escape(object, pathExtra))
	}
	if id != "" {
		parts = append(parts, "id="+escapeAll(id))
	}
	return strings.Join(parts, ";")
}

// String returns the URI in one normal form, which [Parse] reads back as the same
// URI. There is never a secret in it.
func (u *URI) String() string {
	var path []string
	if t := u.Token.String(); t != "" {
		path = append(path, t)
	}
	path = append(path, KeyName(u.Object, u.ID), "type=private")
	s := Scheme + strings.Join(path, ";")
	separator := "?"
	for _, a := range []struct{ name, value string }{
		{"module-path", u.ModulePath},
		{"module-name", u.ModuleName},
		{"x-init-args", u.InitArgs},
		{"pin-source", u.PIN.String()},
	} {
		if a.value != "" {
			s += separator + a.name + "=" + escape(a.value, queryExtra)
			separator = "&"
		}
	}
	return s
}
