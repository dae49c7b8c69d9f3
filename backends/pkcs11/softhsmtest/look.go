package softhsmtest

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// PrivateKeys counts the private keys in the token.
func (tk *Token) PrivateKeys() int {
	tk.t.Helper()
	n := 0
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		n = len(tk.find(ctx, s, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)))
	})
	return n
}

// Objects counts the keys and everything else in the token.
func (tk *Token) Objects() int {
	tk.t.Helper()
	n := 0
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) { n = len(tk.find(ctx, s)) })
	return n
}

func (tk *Token) find(ctx *pkcs11.Ctx, s pkcs11.SessionHandle, template ...*pkcs11.Attribute) []pkcs11.ObjectHandle {
	tk.t.Helper()
	must(tk.t, ctx.FindObjectsInit(s, template))
	found, _, err := ctx.FindObjects(s, 1000)
	must(tk.t, err)
	must(tk.t, ctx.FindObjectsFinal(s))
	return found
}

// DeletePublic destroys the public key with this label, and leaves the private key.
func (tk *Token) DeletePublic(label string) {
	tk.t.Helper()
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		for _, o := range tk.find(ctx, s, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)) {
			must(tk.t, ctx.DestroyObject(s, o))
		}
	})
}

// Extract tries to get the private key with this label out of the token, with all that
// the user PIN allows: reading it, wrapping it, and making it, or a copy of it, one
// that can be taken out. It returns nil if anything of that worked.
func (tk *Token) Extract(label string) error {
	tk.t.Helper()
	var errs []error
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		found := tk.find(ctx, s, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
		if len(found) != 1 {
			tk.t.Fatalf("%d private keys labelled %q, want 1", len(found), label)
		}
		key := found[0]
		open := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true)}
		plain := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false)}
		for what, try := range map[string]func() error{
			"reading": func() error {
				_, err := ctx.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_PRIVATE_EXPONENT, nil)})
				return err
			},
			"wrapping": func() error {
				aes, err := ctx.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
					pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
				})
				must(tk.t, err)
				const aesKeyWrapPad = 0x210A
				_, err = ctx.WrapKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(aesKeyWrapPad, nil)}, aes, key)
				return err
			},
			"making extractable":           func() error { return ctx.SetAttributeValue(s, key, open) },
			"making not sensitive":         func() error { return ctx.SetAttributeValue(s, key, plain) },
			"copying with extractable":     func() error { _, err := ctx.CopyObject(s, key, open); return err },
			"copying without being secret": func() error { _, err := ctx.CopyObject(s, key, plain); return err },
		} {
			if err := try(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", what, err))
			} else {
				tk.t.Logf("the private key %q: %s worked", label, what)
				errs = nil
				return
			}
		}
	})
	return errors.Join(errs...)
}

// GenerateEd25519 has the token make an Ed25519 key and returns its public half.
func (tk *Token) GenerateEd25519(label string) ed25519.PublicKey {
	tk.t.Helper()
	var public ed25519.PublicKey
	tk.visit(func(ctx *pkcs11.Ctx, s pkcs11.SessionHandle) {
		const edwardsKeyPairGen = 0x1055
		object, _, err := ctx.GenerateKeyPair(s,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(edwardsKeyPairGen, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
				pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(label)),
				pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{0x06, 0x03, 0x2b, 0x65, 0x70}),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
				pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(label)),
				pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
				pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			})
		must(tk.t, err)
		attributes, err := ctx.GetAttributeValue(s, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
		must(tk.t, err)
		point := attributes[0].Value
		public = ed25519.PublicKey(point[len(point)-ed25519.PublicKeySize:])
	})
	return public
}
