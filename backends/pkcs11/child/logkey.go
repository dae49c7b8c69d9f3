package child

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// handleLog answers the questions about the log's key.
func (t *token) handleLog(f proto.Frame) ([]byte, error) {
	if f.Op == proto.OpCheckpoint {
		q, err := proto.DecodeCheckpoint(f.Body)
		if err != nil {
			return nil, err
		}
		return t.signCheckpoint(q)
	}
	var q proto.LogKey
	if err := proto.Decode(f.Body, &q); err != nil {
		return nil, err
	}
	return t.logPublicKey(proto.Selector{Label: string(q.Label), ID: string(q.ID)})
}

// signCheckpoint signs with CKM_EDDSA without parameters, which is Ed25519 of RFC
// 8032 (PKCS#11 v3.0, section 6.3.15).
func (t *token) signCheckpoint(q *proto.Checkpoint) ([]byte, error) {
	var signature []byte
	err := t.withSession(func(s *session) error {
		handle, err := t.findLogKey(s, q.Key)
		if err != nil {
			return err
		}
		key := privateKey{handle: handle}
		key.confirm, _ = t.flag(s, handle, pkcs11.CKA_ALWAYS_AUTHENTICATE)
		if err := t.begin(s, key, []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmEdDSA, nil)}); err != nil {
			return noEdDSA(err)
		}
		signature, err = t.ctx.Sign(s.handle, q.Text.Bytes())
		return try("C_Sign", err)
	})
	if err != nil {
		return nil, err
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: fmt.Sprintf("it made a signature of %d bytes, want %d", len(signature), ed25519.SignatureSize)}
	}
	return signature, nil
}

// noEdDSA tells a token that cannot make such signatures from one that failed.
func noEdDSA(err error) error {
	const mechanismInvalid ckr.Code = 0x70
	if isCode(err, mechanismInvalid) {
		return &proto.Fault{Kind: proto.KindNoEdDSA}
	}
	return err
}

// logPublicKey returns the public half of the log's key.
func (t *token) logPublicKey(key proto.Selector) ([]byte, error) {
	var point []byte
	err := t.withSession(func(s *session) error {
		handle, err := t.findLogKey(s, key)
		if err != nil {
			return err
		}
		if !t.can(ckmEdDSA, pkcs11.CKF_SIGN) {
			return &proto.Fault{Kind: proto.KindNoEdDSA}
		}
		point, err = t.point(s, handle)
		if classOf(err) != ckr.FatalKey {
			return err
		}
		// Few tokens show the point with the private key.
		public, err := t.objects(s, pkcs11.CKO_PUBLIC_KEY, t.sibling(s, handle, key))
		if err != nil {
			return err
		}
		if len(public) != 1 {
			return &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: fmt.Sprintf("the private key does not show its public half, and found %d public keys beside it, want 1", len(public))}
		}
		if err := t.checkEdwards(s, public[0]); err != nil {
			return err
		}
		point, err = t.point(s, public[0])
		return err
	})
	return point, err
}

// findLogKey returns the handle of the one private key that matches, which must be
// Ed25519. It is looked up anew each time and not remembered among the keys that
// sign payloads: the two are never to be mistaken for each other.
func (t *token) findLogKey(s *session, key proto.Selector) (pkcs11.ObjectHandle, error) {
	handle, err := t.search(s, key)
	if err != nil {
		return 0, err
	}
	return handle, t.checkEdwards(s, handle)
}

// checkEdwards refuses a key that is not Ed25519.
func (t *token) checkEdwards(s *session, object pkcs11.ObjectHandle) error {
	kind, err := t.attribute(s, object, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return err
	}
	if bytes.Equal(kind, nativeULong(pkcs11.CKK_RSA)) {
		return &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: "found a key of type RSA, want Ed25519"}
	}
	if !bytes.Equal(kind, nativeULong(ckkECEdwards)) {
		return &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: "found a key of type " + keyType(kind) + ", want Ed25519"}
	}
	curve, err := t.attribute(s, object, pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return err
	}
	if !bytes.Equal(curve, edwardsOID()) && !bytes.Equal(curve, edwardsName()) {
		return &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: fmt.Sprintf("found the curve %x, want Ed25519 (%x or %x)", curve[:min(len(curve), 32)], edwardsOID(), edwardsName())}
	}
	return nil
}

// point returns the public half of an Ed25519 key from its CKA_EC_POINT.
func (t *token) point(s *session, object pkcs11.ObjectHandle) ([]byte, error) {
	raw, err := t.attribute(s, object, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	return edwardsPoint(raw)
}

// edwardsPoint reads a CKA_EC_POINT, which tokens hold as the 32 bytes of RFC 8032,
// section 5.1.2, or, as for other curves, with those in an OCTET STRING.
func edwardsPoint(raw []byte) ([]byte, error) {
	const size = ed25519.PublicKeySize
	if len(raw) == size {
		return raw, nil
	}
	if point, ok := bytes.CutPrefix(raw, []byte{0x04, size}); ok && len(point) == size {
		return point, nil
	}
	return nil, &proto.Fault{Kind: proto.KindLogKeyUnfit, Detail: fmt.Sprintf("found a CKA_EC_POINT of %d bytes, want %d, or an OCTET STRING of so many", len(raw), size)}
}

// edwardsOID and edwardsName are the two forms of CKA_EC_PARAMS for Ed25519 (PKCS#11
// v3.0, section 6.3.5): the OID 1.3.101.112 and the PrintableString "edwards25519".
func edwardsOID() []byte { return []byte{0x06, 0x03, 0x2b, 0x65, 0x70} }

func edwardsName() []byte { return append([]byte{0x13, 12}, "edwards25519"...) }
