package child

import (
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// inspect asks the token what a key is, anew.
func (t *token) inspect(key proto.Selector) (*proto.Inspected, error) {
	var found *proto.Inspected
	err := t.withSession(func(s *session) error {
		// Not from what this session remembers: the key may be another by now.
		delete(s.keys, key)
		private, err := t.find(s, key)
		if err != nil {
			return err
		}
		public, err := t.publicKey(s, private.handle, key)
		if err != nil {
			return err
		}
		found = &proto.Inspected{
			Modulus:    public.N.Bytes(),
			Exponent:   big.NewInt(int64(public.E)).Bytes(),
			Attributes: map[string]bool{},
		}
		for name, kind := range map[string]uint{
			"CKA_SENSITIVE":         pkcs11.CKA_SENSITIVE,
			"CKA_ALWAYS_SENSITIVE":  pkcs11.CKA_ALWAYS_SENSITIVE,
			"CKA_EXTRACTABLE":       pkcs11.CKA_EXTRACTABLE,
			"CKA_NEVER_EXTRACTABLE": pkcs11.CKA_NEVER_EXTRACTABLE,
			"CKA_LOCAL":             pkcs11.CKA_LOCAL,
			"CKA_SIGN":              pkcs11.CKA_SIGN,
		} {
			if value, ok := t.flag(s, private.handle, kind); ok {
				found.Attributes[name] = value
			}
		}
		return nil
	})
	return found, err
}
