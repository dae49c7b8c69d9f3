package child

import (
	"slices"

	"github.com/miekg/pkcs11"
)

// template says what a new object is to be. What a key is not to be without is
// needed; the rest makes sure of what is true by default on most tokens, and
// what a token does not take of it is left out: what came of it shows when the
// attributes are read back.
type template struct {
	needed []*pkcs11.Attribute
	wanted []wanted
}

type wanted struct {
	name string
	*pkcs11.Attribute
}

// with returns the template with more that is needed.
func (t template) with(more ...*pkcs11.Attribute) template {
	return template{append(slices.Clip(t.needed), more...), t.wanted}
}

// without returns the attributes, but for the wanted ones with these names.
func (t template) without(left []string) []*pkcs11.Attribute {
	out := slices.Clone(t.needed)
	for _, w := range t.wanted {
		if !slices.Contains(left, w.name) {
			out = append(out, w.Attribute)
		}
	}
	return out
}

// fit calls f with the names of what to leave out until the token takes the
// rest: nothing at first, then each one alone, and then more and more, the last
// first. It returns what was left out. Only a refusal of the template is answered
// with another try, and a general error, which is how some tokens refuse one, with
// one more, for the least.
func fit(names []string, f func(without []string) error) (refused []string, err error) {
	err = f(nil)
	if isGeneral(err) && len(names) > 0 && f(names) == nil {
		return names, nil
	}
	if !isTemplate(err) {
		return nil, err
	}
	for _, name := range names {
		if err = f([]string{name}); !isTemplate(err) {
			return []string{name}, err
		}
	}
	for n := len(names) - 2; n >= 0; n-- {
		if err = f(names[n:]); !isTemplate(err) {
			return names[n:], err
		}
	}
	return nil, err
}

// isTemplate reports whether a token refused a template, and so did nothing.
func isTemplate(err error) bool {
	const (
		attributeReadOnly     = 0x10
		attributeTypeInvalid  = 0x12
		attributeValueInvalid = 0x13
		templateIncomplete    = 0xD0
		templateInconsistent  = 0xD1
	)
	code, ok := codeOf(err)
	return ok && (code == attributeReadOnly || code == attributeTypeInvalid || code == attributeValueInvalid ||
		code == templateIncomplete || code == templateInconsistent)
}

// isGeneral reports whether a token failed without saying why.
func isGeneral(err error) bool {
	const (
		generalError   = 0x05
		functionFailed = 0x06
	)
	code, ok := codeOf(err)
	return ok && (code == generalError || code == functionFailed)
}

// names returns the names of what templates want, each once.
func names(templates ...template) []string {
	var out []string
	for _, t := range templates {
		for _, w := range t.wanted {
			if !slices.Contains(out, w.name) {
				out = append(out, w.name)
			}
		}
	}
	return out
}

const modifiable = "CKA_MODIFIABLE"

func set(kind uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(kind, value) }

func no(name string, kind uint) wanted { return wanted{name, set(kind, false)} }

// signingKey is a private key that can sign and nothing else, and that does not
// leave the token.
func signingKey(durable bool, label, id []byte) template {
	return template{
		needed: []*pkcs11.Attribute{
			set(pkcs11.CKA_TOKEN, durable),
			set(pkcs11.CKA_PRIVATE, true),
			set(pkcs11.CKA_LABEL, label),
			set(pkcs11.CKA_ID, id),
			set(pkcs11.CKA_SENSITIVE, true),
			set(pkcs11.CKA_EXTRACTABLE, false),
			set(pkcs11.CKA_SIGN, true),
		},
		wanted: []wanted{
			no("CKA_DERIVE", pkcs11.CKA_DERIVE),
			no("CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER),
			no("CKA_UNWRAP", pkcs11.CKA_UNWRAP),
			no("CKA_DECRYPT", pkcs11.CKA_DECRYPT),
			// The last: SoftHSM takes a template in its order, and nothing more
			// of it after this.
			no(modifiable, pkcs11.CKA_MODIFIABLE),
		},
	}
}

// verifyingKey is the public key beside it.
func verifyingKey(label, id []byte) template {
	return template{
		needed: []*pkcs11.Attribute{
			set(pkcs11.CKA_TOKEN, true),
			set(pkcs11.CKA_LABEL, label),
			set(pkcs11.CKA_ID, id),
			set(pkcs11.CKA_VERIFY, true),
		},
		wanted: []wanted{
			no("CKA_VERIFY_RECOVER of the public key", pkcs11.CKA_VERIFY_RECOVER),
			no("CKA_WRAP of the public key", pkcs11.CKA_WRAP),
			no("CKA_ENCRYPT of the public key", pkcs11.CKA_ENCRYPT),
		},
	}
}
