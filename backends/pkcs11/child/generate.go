package child

import (
	"errors"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// generate has the token make a key pair, and reads back what it made.
func (w *workshop) generate(t *token, q *proto.NewKey) (*proto.Made, error) {
	if len(q.Label) == 0 || len(q.ID) == 0 {
		return nil, errors.New("a new key needs a label and an id")
	}
	private := signingKey(true, q.Label, q.ID)
	public := verifyingKey(q.Label, q.ID)
	var kinds []kind
	switch q.Type {
	case proto.RSA2048:
		kinds = []kind{{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, public.with(
			set(pkcs11.CKA_MODULUS_BITS, capgo.KeyBits),
			set(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		)}}
	case proto.Ed25519:
		for _, curve := range [][]byte{edwardsOID(), edwardsName()} {
			kinds = append(kinds, kind{ckmECEdwardsKeyPairGen, public.with(set(pkcs11.CKA_EC_PARAMS, curve))})
		}
	default:
		return nil, errors.New("unknown type of key")
	}
	var pair pair
	var refused []string
	var err error
	for _, k := range kinds {
		refused, err = fit(names(private, k.public), func(without []string) error {
			var err error
			pair, err = w.generatePair(t, k, private, without)
			return err
		})
		if !isCurve(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	w.made = append(w.made, pair.public, pair.private)
	made, err := w.describe(t, q.Type, pair)
	if err != nil {
		return nil, err
	}
	made.Refused = refused
	return made, nil
}

// isCurve reports whether a token did not understand the name of a curve, and so did
// nothing.
func isCurve(err error) bool {
	const (
		argumentsBad        = 0x07
		domainParamsInvalid = 0x130
		curveNotSupported   = 0x140
	)
	code, ok := codeOf(err)
	return isTemplate(err) || ok && (code == argumentsBad || code == domainParamsInvalid || code == curveNotSupported)
}

// kind is one way to ask for a key pair.
type kind struct {
	mechanism uint
	public    template
}

type pair struct{ public, private pkcs11.ObjectHandle }

func (w *workshop) generatePair(t *token, k kind, private template, without []string) (pair, error) {
	public, secret, err := t.ctx.GenerateKeyPair(w.session.handle,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(k.mechanism, nil)}, k.public.without(without), private.without(without))
	return pair{public, secret}, try("C_GenerateKeyPair", err)
}

// describe asks the token what a new key is. Its public half is read from the public
// object where there is one.
func (w *workshop) describe(t *token, kind proto.KeyType, p pair) (*proto.Made, error) {
	made := &proto.Made{Attributes: map[string]bool{}}
	for name, attribute := range map[string]uint{
		"CKA_TOKEN":             pkcs11.CKA_TOKEN,
		"CKA_PRIVATE":           pkcs11.CKA_PRIVATE,
		"CKA_MODIFIABLE":        pkcs11.CKA_MODIFIABLE,
		"CKA_SENSITIVE":         pkcs11.CKA_SENSITIVE,
		"CKA_ALWAYS_SENSITIVE":  pkcs11.CKA_ALWAYS_SENSITIVE,
		"CKA_EXTRACTABLE":       pkcs11.CKA_EXTRACTABLE,
		"CKA_NEVER_EXTRACTABLE": pkcs11.CKA_NEVER_EXTRACTABLE,
		"CKA_LOCAL":             pkcs11.CKA_LOCAL,
		"CKA_SIGN":              pkcs11.CKA_SIGN,
		"CKA_SIGN_RECOVER":      pkcs11.CKA_SIGN_RECOVER,
		"CKA_DECRYPT":           pkcs11.CKA_DECRYPT,
		"CKA_UNWRAP":            pkcs11.CKA_UNWRAP,
		"CKA_DERIVE":            pkcs11.CKA_DERIVE,
	} {
		if value, ok := t.flag(w.session, p.private, attribute); ok {
			made.Attributes[name] = value
		}
	}
	shows := p.public
	if shows == 0 {
		shows = p.private
	}
	var err error
	if kind == proto.Ed25519 {
		made.Point, err = t.point(w.session, shows)
	} else {
		made.Modulus, made.Exponent, err = t.numbers(w.session, shows)
	}
	return made, err
}
