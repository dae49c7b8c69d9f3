// Package uri reads the PKCS#11 URIs (RFC 7512) that name a private key in a
// configuration.
//
// It reads a strict subset: the attributes that select a token and a private
// key in it, the module and where the PIN is read from. Its invariant is that
// nothing in a URI is ever ignored: an attribute that is unknown, given twice,
// empty or too long is an error that names it, and a PIN inside the URI is
// refused without being repeated in the message.
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
	// ModulePath is the absolute path of the vendor's shared object.
	ModulePath string
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

// PINSource is where a PIN is read from: an absolute path, or the name of a
// systemd credential. At most one is set.
type PINSource struct {
	Path       string
	Credential string
}

// IsZero reports whether there is no PIN to read.
func (p PINSource) IsZero() bool { return p == PINSource{} }

// String returns the source in the form of the pin-source attribute.
func (p PINSource) String() string {
	if p.Credential != "" {
		return credentialPrefix + p.Credential
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
	s := Scheme + strings.Join(path, ";") + "?module-path=" + escape(u.ModulePath, queryExtra)
	if !u.PIN.IsZero() {
		s += "&pin-source=" + escape(u.PIN.String(), queryExtra)
	}
	return s
}
