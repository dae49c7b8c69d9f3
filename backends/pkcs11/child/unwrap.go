package child

import (
	"bytes"
	"errors"
	"slices"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// A private key that is imported is never in this process, nor in the module's
// interface, but encrypted: the daemon encrypts it with an AES key, and that with
// an RSA key that the token made for this import and that cannot leave it.

// kekSize is the length in bytes of the AES key.
const kekSize = 32

// wrapping has the token make a key pair that can unwrap and nothing else, and that
// is gone with the session.
func (w *workshop) wrapping(t *token) (*proto.Wrapping, error) {
	public := template{
		needed: []*pkcs11.Attribute{
			set(pkcs11.CKA_TOKEN, false),
			set(pkcs11.CKA_WRAP, true),
			set(pkcs11.CKA_MODULUS_BITS, capgo.KeyBits),
			set(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		},
	}
	private := template{
		needed: []*pkcs11.Attribute{
			set(pkcs11.CKA_TOKEN, false),
			set(pkcs11.CKA_PRIVATE, true),
			set(pkcs11.CKA_SENSITIVE, true),
			set(pkcs11.CKA_EXTRACTABLE, false),
			set(pkcs11.CKA_UNWRAP, true),
		},
		wanted: []wanted{
			no("CKA_DERIVE", pkcs11.CKA_DERIVE),
			no("CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER),
			no("CKA_SIGN", pkcs11.CKA_SIGN),
			no("CKA_DECRYPT", pkcs11.CKA_DECRYPT),
		},
	}
	var p pair
	_, err := fit(names(private), func(without []string) error {
		var err error
		p, err = w.generatePair(t, kind{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, public}, private, without)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.unwrapping = p.private
	modulus, exponent, err := t.numbers(w.session, p.public)
	return &proto.Wrapping{Modulus: modulus, Exponent: exponent}, err
}

// unwrapKEK has the token unwrap the AES key.
func (w *workshop) unwrapKEK(t *token, q *proto.UnwrapKEK) error {
	if w.unwrapping == 0 {
		return &proto.Fault{Kind: proto.KindNotMaking}
	}
	var params *pkcs11.OAEPParams
	switch q.Hash {
	case proto.SHA1:
		params = pkcs11.NewOAEPParams(pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1, pkcs11.CKZ_DATA_SPECIFIED, nil)
	case proto.SHA256:
		params = pkcs11.NewOAEPParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pkcs11.CKZ_DATA_SPECIFIED, nil)
	default:
		return errors.New("unknown hash for RSA-OAEP")
	}
	kek := template{
		needed: []*pkcs11.Attribute{
			set(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			set(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			set(pkcs11.CKA_TOKEN, false),
			set(pkcs11.CKA_SENSITIVE, true),
			set(pkcs11.CKA_EXTRACTABLE, false),
			set(pkcs11.CKA_UNWRAP, true),
		},
		wanted: []wanted{
			// Some tokens need the length, others do not take it.
			{"CKA_VALUE_LEN", set(pkcs11.CKA_VALUE_LEN, kekSize)},
			no("CKA_WRAP", pkcs11.CKA_WRAP),
			no("CKA_ENCRYPT", pkcs11.CKA_ENCRYPT),
			no("CKA_DECRYPT", pkcs11.CKA_DECRYPT),
		},
	}
	_, err := fit(names(kek), func(without []string) error {
		handle, err := t.ctx.UnwrapKey(w.session.handle,
			[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, params)},
			w.unwrapping, q.Wrapped, kek.without(without))
		if err == nil {
			w.kek = handle
		}
		return try("C_UnwrapKey", err)
	})
	return err
}

// unwrapKey has the token unwrap the private key, and reads back what came of it.
func (w *workshop) unwrapKey(t *token, q *proto.UnwrapKey) (*proto.Made, error) {
	if w.kek == 0 {
		return nil, &proto.Fault{Kind: proto.KindNotMaking}
	}
	if q.Key.Type != proto.RSA2048 || len(q.Key.Label) == 0 || len(q.Key.ID) == 0 {
		return nil, errors.New("an imported key is RSA and needs a label and an id")
	}
	if q.Way == proto.WayCBC && len(q.IV) != 16 {
		return nil, errors.New("CKM_AES_CBC_PAD needs an IV of 16 bytes")
	}
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanismOf(q.Way), q.IV)}
	private := signingKey(q.Durable, q.Key.Label, q.Key.ID).with(
		set(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		set(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
	)
	unwrap := func(without []string) (pkcs11.ObjectHandle, error) {
		handle, err := t.ctx.UnwrapKey(w.session.handle, mechanism, w.kek, q.Wrapped, private.without(without))
		return handle, try("C_UnwrapKey", err)
	}
	var p pair
	var err error
	if q.Durable {
		// No trial and error here: SoftHSM 2.6.1 leaves something nameless in the
		// token when it refuses a template.
		if p.private, err = unwrap(w.refused); err == nil {
			w.made = append(w.made, p.private)
		}
	} else {
		p.private, err = w.rehearse(t, names(private), unwrap)
	}
	if err != nil {
		return nil, err
	}
	w.tighten(t, p.private)
	var noPublic string
	if q.Durable {
		if err := w.addPublic(t, q); err != nil {
			noPublic = err.Error()
		}
	}
	made, err := w.describe(t, proto.RSA2048, p)
	if err != nil {
		return nil, err
	}
	made.Refused, made.NoPublic = w.refused, noPublic
	for _, a := range w.loose {
		made.Refused = append(slices.Clip(made.Refused), a.name+" at first")
	}
	return made, nil
}

// rehearse finds out, with keys that are gone with the session, what the token takes
// of the template and what it makes of it.
func (w *workshop) rehearse(t *token, names []string, unwrap func([]string) (pkcs11.ObjectHandle, error)) (pkcs11.ObjectHandle, error) {
	var private pkcs11.ObjectHandle
	var err error
	w.refused, err = fit(names, func(without []string) error {
		var err error
		private, err = unwrap(without)
		return err
	})
	if err != nil {
		return 0, err
	}
	// opencryptoki 3.8 makes every key that it unwraps one that can be taken out,
	// whatever the template says, but lets that be changed afterwards.
	w.loose = nil
	for _, a := range []wanted{
		{"CKA_SENSITIVE", set(pkcs11.CKA_SENSITIVE, true)},
		no("CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE),
		no("CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER),
		no("CKA_DECRYPT", pkcs11.CKA_DECRYPT),
		no("CKA_UNWRAP", pkcs11.CKA_UNWRAP),
		no("CKA_DERIVE", pkcs11.CKA_DERIVE),
	} {
		if got, err := t.attribute(w.session, private, a.Type); err == nil && !bytes.Equal(got, a.Value) {
			w.loose = append(w.loose, a)
		}
	}
	if len(w.loose) > 0 && !slices.Contains(w.refused, modifiable) {
		w.refused = append(slices.Clip(w.refused), modifiable)
		return unwrap(w.refused)
	}
	return private, nil
}

// tighten takes from a key what it should not have had from the start. Whether the
// token does that shows when the attributes are read back.
func (w *workshop) tighten(t *token, private pkcs11.ObjectHandle) {
	for _, a := range w.loose {
		_ = t.ctx.SetAttributeValue(w.session.handle, private, []*pkcs11.Attribute{a.Attribute})
	}
}

// addPublic puts the public key beside the private key. Tokens that show a private
// key's public half can do without.
func (w *workshop) addPublic(t *token, q *proto.UnwrapKey) error {
	public := verifyingKey(q.Key.Label, q.Key.ID).with(
		set(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
		set(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
		set(pkcs11.CKA_MODULUS, q.Modulus),
		set(pkcs11.CKA_PUBLIC_EXPONENT, q.Exponent),
	)
	_, err := fit(names(public), func(without []string) error {
		handle, err := t.ctx.CreateObject(w.session.handle, public.without(without))
		if err == nil {
			w.made = append(w.made, handle)
		}
		return try("C_CreateObject", err)
	})
	return err
}
