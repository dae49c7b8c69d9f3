package pkcs11

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// judged are the attributes of a private key (PKCS#11 v3.0, section 4.9) that say
// where it has been and where it can go.
func judged() []string {
	return []string{
		"CKA_SENSITIVE", "CKA_ALWAYS_SENSITIVE", "CKA_EXTRACTABLE", "CKA_NEVER_EXTRACTABLE", "CKA_LOCAL", "CKA_SIGN",
	}
}

// level concludes how well a key is kept. An attribute that the token does not
// answer for proves nothing.
func level(attributes map[string]bool) signer.CustodyLevel {
	is := func(name string, want bool) bool {
		value, known := attributes[name]
		return known && value == want
	}
	switch {
	case !is("CKA_SENSITIVE", true) || !is("CKA_EXTRACTABLE", false):
		return signer.Software
	case is("CKA_ALWAYS_SENSITIVE", true) && is("CKA_NEVER_EXTRACTABLE", true) && is("CKA_LOCAL", true):
		return signer.NeverExtractable
	}
	return signer.NonExtractable
}

// evidence makes what the child found the evidence of the key.
func (k *Key) evidence(p *process, found *proto.Inspected) (*signer.Evidence, error) {
	if len(found.Modulus) > 2*capgo.SignatureSize || len(found.Exponent) > 4 {
		return nil, errors.New("the module's process broke the protocol: the numbers of the public key are too long")
	}
	public, err := capgo.NewPublicKey(&rsa.PublicKey{
		N: new(big.Int).SetBytes(found.Modulus),
		E: int(new(big.Int).SetBytes(found.Exponent).Int64()),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: pkcs11 %s: devices do not accept this key: %w", signer.ErrKeyUnusable, k.name, err)
	}
	if sign, known := found.Attributes["CKA_SIGN"]; known && !sign {
		return nil, fmt.Errorf("%w: pkcs11 %s: the key is not allowed to sign (CKA_SIGN is false): set it with the vendor's tool, or make one with it", signer.ErrKeyUnusable, k.name)
	}
	token := p.opened.Token
	facts := map[string]string{
		"module":             p.module,
		"library":            p.opened.Library,
		"token_label":        token.Label,
		"token_serial":       token.Serial,
		"token_manufacturer": token.Manufacturer,
		"token_model":        token.Model,
	}
	for _, name := range judged() {
		facts[name] = "unknown"
		if value, known := found.Attributes[name]; known {
			facts[name] = strconv.FormatBool(value)
		}
	}
	return &signer.Evidence{
		PublicKey: public,
		Custody:   signer.Custody{Level: level(found.Attributes), Backend: Backend, Evidence: facts},
	}, nil
}
