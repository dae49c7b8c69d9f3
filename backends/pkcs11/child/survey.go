package child

import (
	"errors"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// Mechanisms and a key type that the library has no names for (PKCS#11 v3.0,
// appendix B).
const (
	ckmECEdwardsKeyPairGen = 0x1055
	ckmEdDSA               = 0x1057
	ckmAESKeyWrapPad       = 0x210A
	ckmAESKeyWrapKWP       = 0x210B
	ckkECEdwards           = 0x40
)

// survey looks at what a new key would need, and what stands in its way. It changes
// nothing.
func (t *token) survey(q *proto.Survey) (*proto.Surveyed, error) {
	if q.Type == proto.RSA2048 {
		// A key that could not be used is not worth making.
		if err := t.mechanisms.usable(); err != nil {
			return nil, err
		}
	}
	var found *proto.Surveyed
	err := t.withSession(func(s *session) error {
		found = &proto.Surveyed{}
		var err error
		if found.SameLabel, err = t.keys(s, proto.Selector{Label: string(q.Label)}); err != nil {
			return err
		}
		if found.SameID, err = t.keys(s, proto.Selector{ID: string(q.ID)}); err != nil {
			return err
		}
		if found.SameLabel+found.SameID == 0 {
			// Nothing is good news only from a token that is really there.
			var fault *proto.Fault
			if err := t.whyNone(s); !errors.As(err, &fault) || fault.Kind != proto.KindKeyMissing {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return nil, try("C_GetTokenInfo", err)
	}
	found.WriteProtected = info.Flags&pkcs11.CKF_WRITE_PROTECTED != 0
	generator := uint(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	if q.Type == proto.Ed25519 {
		generator = ckmECEdwardsKeyPairGen
	}
	found.Generates = t.can(generator, pkcs11.CKF_GENERATE_KEY_PAIR)
	found.OAEP = t.can(pkcs11.CKM_RSA_PKCS_OAEP, pkcs11.CKF_UNWRAP)
	for _, way := range []proto.Way{proto.WayKWP, proto.WayPad, proto.WayPKCS7, proto.WayCBC} {
		if t.can(mechanismOf(way), pkcs11.CKF_UNWRAP) {
			found.Ways = append(found.Ways, way)
		}
	}
	return found, nil
}

// keys counts the private and public keys that match, up to a few. An empty selector
// matches none.
func (t *token) keys(s *session, key proto.Selector) (int, error) {
	if key == (proto.Selector{}) {
		return 0, nil
	}
	n := 0
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
		found, err := t.objects(s, class, key)
		if err != nil {
			return 0, err
		}
		n += len(found)
	}
	return n, nil
}

// can reports whether the token says that it does this with a mechanism.
func (t *token) can(mechanism, flag uint) bool {
	info, err := t.ctx.GetMechanismInfo(t.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)})
	return err == nil && info.Flags&flag != 0
}

func mechanismOf(way proto.Way) uint {
	switch way {
	case proto.WayKWP:
		return ckmAESKeyWrapKWP
	case proto.WayPad, proto.WayPKCS7:
		return ckmAESKeyWrapPad
	case proto.WayCBC:
		return pkcs11.CKM_AES_CBC_PAD
	}
	return ^uint(0)
}
