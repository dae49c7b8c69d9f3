package child

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// privateKey is a key as it was found in a session.
type privateKey struct {
	handle  pkcs11.ObjectHandle
	confirm bool // it wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE)
}

// find returns the one private key that matches, having checked that it is one that
// may be used.
func (t *token) find(s *session, key proto.Selector) (privateKey, error) {
	if login := t.logins.Load(); s.login != login {
		clear(s.keys)
		s.login = login
	}
	if found, ok := s.keys[key]; ok {
		return found, nil
	}
	if err := t.mechanisms.usable(); err != nil {
		return privateKey{}, err
	}
	handle, err := t.search(s, key)
	if err != nil {
		return privateKey{}, err
	}
	if _, err := t.publicKey(s, handle, key); err != nil {
		return privateKey{}, err
	}
	found := privateKey{handle: handle}
	found.confirm, _ = t.flag(s, handle, pkcs11.CKA_ALWAYS_AUTHENTICATE)
	s.keys[key] = found
	return found, nil
}

// search returns the handle of the one private key that matches.
func (t *token) search(s *session, key proto.Selector) (pkcs11.ObjectHandle, error) {
	found, err := t.objects(s, pkcs11.CKO_PRIVATE_KEY, key)
	if err != nil {
		return 0, err
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, t.whyNone(s)
	}
	return 0, &proto.Fault{Kind: proto.KindKeyAmbiguous, Count: len(found)}
}

// whyNone says why no private key was found. A module may go on as if nothing had
// happened, without any object, when its token is gone, is another one by now, or
// has logged out.
func (t *token) whyNone(s *session) error {
	token, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return try("C_GetTokenInfo", err)
	}
	if says := describe(t.slot, token); says != t.says {
		return &proto.Fault{Kind: proto.KindCall, Call: "C_GetTokenInfo", Code: ckr.TokenNotPresent}
	}
	session, err := t.ctx.GetSessionInfo(s.handle)
	if err != nil {
		return try("C_GetSessionInfo", err)
	}
	if session.State == pkcs11.CKS_RO_PUBLIC_SESSION && token.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0 {
		return &proto.Fault{Kind: proto.KindCall, Call: "C_FindObjects", Code: ckr.UserNotLoggedIn}
	}
	return &proto.Fault{Kind: proto.KindKeyMissing}
}

// objects returns the first few objects of the token of a class that match.
func (t *token) objects(s *session, class uint, key proto.Selector) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
	}
	if key.Label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, key.Label))
	}
	if key.ID != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(key.ID)))
	}
	if err := try("C_FindObjectsInit", t.ctx.FindObjectsInit(s.handle, template)); err != nil {
		return nil, err
	}
	var found []pkcs11.ObjectHandle
	var findErr error
	// A module may hand out one at a time; two are enough to know.
	for len(found) < 2 && findErr == nil {
		some, _, err := t.ctx.FindObjects(s.handle, 8)
		if len(some) == 0 && err == nil {
			break
		}
		found = append(found, some...)
		findErr = try("C_FindObjects", err)
	}
	finalErr := try("C_FindObjectsFinal", t.ctx.FindObjectsFinal(s.handle))
	if findErr != nil {
		return nil, findErr
	}
	return found, finalErr
}

// publicKey returns the public half of a private key, from the key itself or from
// the public key object beside it, and refuses one that devices do not accept.
func (t *token) publicKey(s *session, private pkcs11.ObjectHandle, key proto.Selector) (*rsa.PublicKey, error) {
	kind, err := t.attribute(s, private, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(kind, nativeULong(pkcs11.CKK_RSA)) {
		return nil, &proto.Fault{Kind: proto.KindKeyUnfit, Detail: "found a key of type " + keyType(kind) + ", want RSA"}
	}
	modulus, exponent, err := t.numbers(s, private)
	if classOf(err) == ckr.FatalKey {
		public, findErr := t.objects(s, pkcs11.CKO_PUBLIC_KEY, t.sibling(s, private, key))
		if findErr != nil {
			return nil, findErr
		}
		if len(public) != 1 {
			return nil, &proto.Fault{Kind: proto.KindKeyUnfit, Detail: fmt.Sprintf("the private key does not show its public exponent, and found %d public keys beside it, want 1", len(public))}
		}
		modulus, exponent, err = t.numbers(s, public[0])
	}
	if err != nil {
		return nil, err
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus)}
	if e := new(big.Int).SetBytes(exponent); e.IsInt64() && e.Int64() < 1<<31 {
		pub.E = int(e.Int64())
	}
	if _, err := capgo.NewPublicKey(pub); err != nil {
		return nil, &proto.Fault{Kind: proto.KindKeyUnfit, Detail: err.Error()}
	}
	return pub, nil
}

// sibling selects the public key of a private key: by its id, which the standard
// has both share, or else by what the private key was found with.
func (t *token) sibling(s *session, private pkcs11.ObjectHandle, key proto.Selector) proto.Selector {
	if id, err := t.attribute(s, private, pkcs11.CKA_ID); err == nil && len(id) > 0 {
		return proto.Selector{ID: string(id)}
	}
	return key
}

func (t *token) numbers(s *session, object pkcs11.ObjectHandle) (modulus, exponent []byte, err error) {
	if modulus, err = t.attribute(s, object, pkcs11.CKA_MODULUS); err != nil {
		return nil, nil, err
	}
	exponent, err = t.attribute(s, object, pkcs11.CKA_PUBLIC_EXPONENT)
	return modulus, exponent, err
}

// attribute returns one attribute of an object. They are asked for one by one,
// because a token that does not know one of several may fail for all.
func (t *token) attribute(s *session, object pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	got, err := t.ctx.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil {
		return nil, try("C_GetAttributeValue", err)
	}
	if len(got[0].Value) == 0 {
		const attributeTypeInvalid = 0x12
		return nil, &proto.Fault{Kind: proto.KindCall, Call: "C_GetAttributeValue", Code: attributeTypeInvalid}
	}
	return got[0].Value, nil
}

// flag returns a CK_BBOOL attribute, and whether the token answers for it.
func (t *token) flag(s *session, object pkcs11.ObjectHandle, kind uint) (value, ok bool) {
	b, err := t.attribute(s, object, kind)
	if err != nil || len(b) != 1 {
		return false, false
	}
	return b[0] != 0, true
}

// nativeULong is a CK_ULONG as it is in memory.
func nativeULong(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func keyType(b []byte) string {
	for name, n := range map[string]uint64{"EC": pkcs11.CKK_EC, "DSA": pkcs11.CKK_DSA, "Edwards curve": 0x40} {
		if bytes.Equal(b, nativeULong(n)) {
			return name
		}
	}
	return fmt.Sprintf("0x%x", b)
}
