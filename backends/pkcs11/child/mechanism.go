package child

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// mechanisms is how the token makes the raw RSA signatures that devices want.
//
// CKM_RSA_PKCS pads and signs (PKCS#11 v3.0, section 6.1.6). Some tokens lack it,
// some want a DigestInfo in it. CKM_RSA_X_509 signs a whole block, and the padding
// is then made here, of the very same payload: it is the same signature.
type mechanisms struct {
	lacksPKCS, lacksRaw bool // the token said so, when it was opened

	mu sync.Mutex
	// raw are the keys for which CKM_RSA_PKCS did not work and CKM_RSA_X_509 did.
	raw map[proto.Selector]bool
}

// askMechanisms asks the token which of the two it has. One that does not answer is given
// the benefit of the doubt: a signature will show.
func (t *token) askMechanisms() {
	t.mechanisms.lacksPKCS = t.lacks(rsaPKCS())
	t.mechanisms.lacksRaw = t.lacks(rsaX509())
}

func (t *token) lacks(mechanism []*pkcs11.Mechanism) bool {
	info, err := t.ctx.GetMechanismInfo(t.slot, mechanism)
	if err != nil {
		return isCode(try("C_GetMechanismInfo", err), ckr.MechanismInvalid)
	}
	return info.Flags&pkcs11.CKF_SIGN == 0
}

// usable fails if no signature need be tried.
func (m *mechanisms) usable() error {
	if m.lacksPKCS && m.lacksRaw {
		return &proto.Fault{Kind: proto.KindMechanism, Detail: "the token has neither for signing"}
	}
	return nil
}

func (m *mechanisms) isRaw(key proto.Selector) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lacksPKCS || m.raw[key]
}

func (m *mechanisms) setRaw(key proto.Selector) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.raw == nil {
		m.raw = map[proto.Selector]bool{}
	}
	m.raw[key] = true
}

// signRaw makes the signature of material, in the way that works for the key.
func (t *token) signRaw(s *session, key proto.Selector, material []byte) ([]byte, error) {
	if t.mechanisms.isRaw(key) {
		signature, err := t.signPadded(s, key, material)
		if refusesData(err) {
			err = &proto.Fault{Kind: proto.KindMechanism, Detail: fmt.Sprintf("CKM_RSA_X_509: %s", err)}
		}
		return signature, err
	}
	signature, err := t.signWith(s, key, rsaPKCS(), material)
	if !refusesData(err) {
		return signature, err
	}
	if t.mechanisms.lacksRaw {
		return nil, &proto.Fault{Kind: proto.KindMechanism, Detail: fmt.Sprintf("CKM_RSA_PKCS: %s; the token has no CKM_RSA_X_509", err)}
	}
	// The signature that was refused may be under way in the session still.
	if err := t.renew(s); err != nil {
		return nil, err
	}
	signature, rawErr := t.signPadded(s, key, material)
	if refusesData(rawErr) {
		return nil, &proto.Fault{Kind: proto.KindMechanism, Detail: fmt.Sprintf("CKM_RSA_PKCS: %s; CKM_RSA_X_509: %s", err, rawErr)}
	}
	if rawErr == nil {
		t.mechanisms.setRaw(key)
		fmt.Fprintf(os.Stderr, "the token refuses this data with CKM_RSA_PKCS (%s): signing with CKM_RSA_X_509 and padding made here\n", err)
	}
	return signature, rawErr
}

func (t *token) signPadded(s *session, key proto.Selector, material []byte) ([]byte, error) {
	block, err := pad(material)
	if err != nil {
		return nil, err
	}
	defer clear(block)
	return t.signWith(s, key, rsaX509(), block)
}

func (t *token) signWith(s *session, key proto.Selector, mechanism []*pkcs11.Mechanism, data []byte) ([]byte, error) {
	found, err := t.find(s, key)
	if err != nil {
		return nil, err
	}
	if err := t.begin(s, found, mechanism); err != nil {
		return nil, err
	}
	signature, err := t.ctx.Sign(s.handle, data)
	return signature, try("C_Sign", err)
}

// refusesData reports whether a token means that this mechanism is not for this key
// or for such data, so that another may be tried.
func refusesData(err error) bool {
	code, ok := codeOf(err)
	return ok && slices.Contains([]ckr.Code{ckr.DataInvalid, ckr.DataLenRange, ckr.MechanismInvalid, ckr.MechanismParamInvalid}, code)
}

// pad returns the block that CKM_RSA_PKCS would make of material: 00 01 FF ... FF
// 00 and the material (RFC 8017, section 9.2, with the material for the DigestInfo).
// What it makes is a block of type 1 of a payload's size, and nothing else.
func pad(material []byte) ([]byte, error) {
	const minFF = 8
	if len(material) == 0 || len(material) > capgo.SignatureSize-minFF-3 {
		return nil, fmt.Errorf("%d bytes cannot be padded", len(material))
	}
	block := make([]byte, capgo.SignatureSize)
	block[1] = 1
	end := capgo.SignatureSize - len(material)
	for i := 2; i < end-1; i++ {
		block[i] = 0xFF
	}
	copy(block[end:], material)
	return block, nil
}

func rsaPKCS() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)}
}

func rsaX509() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_X_509, nil)}
}
